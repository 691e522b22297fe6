// com.microsoft.MatMulNBits, version 1, as ONNX Runtime's weight-only quantiser writes it:
// y = A w^T + bias with w [N, K] stored in 2, 4 or 8 bits. B [N, blocks, bytes] holds blocks of
// `block_size` weights along K, the first in the lowest bits of the first byte; w = (b - zero)
// scale with a scale and a zero point for each block. Operands: A [..., K], B, scales [N, blocks]
// (or flat), zero points (packed like B along the blocks, or one number for each block; the middle
// of the range without them), g_idx (must be omitted), bias [N].
#include "ops/common.h"

namespace espalier::ops {
namespace {

constexpr int64_t kLeastBlock = 16;

struct MatMulNBits {
  int64_t k = 0;
  int64_t n = 0;
  int64_t bits = 4;
  int64_t block_size = 0;
  int64_t accuracy_level = 0;  ///< how precise other engines must be

  int64_t blocks() const { return (k + block_size - 1) / block_size; }
  int64_t blob() const { return block_size * bits / 8; }
  /// Bytes of the packed zero points of one row.
  int64_t zero_bytes() const { return (blocks() * bits + 7) / 8; }
};

/// Refuses operand i unless it is `rows` by `columns`, flat or not.
void require_matrix(const TypesIn& in, size_t i, int64_t rows, int64_t columns) {
  const TensorType& t = in[i];
  const bool fits = t.is_static() && t.numel() == rows * columns &&
                    (t.rank() == 1 || (t.rank() >= 2 && t.dims[0].is(rows)));
  if (!fits)
    in.fail("operand " + std::to_string(i) + " is " + to_string(t) + ", [" + std::to_string(rows) +
            "," + std::to_string(columns) + "] is needed");
}

Types infer(const MatMulNBits& a, const TypesIn& in) {
  require_float(in, 0);
  if (a.bits != 2 && a.bits != 4 && a.bits != 8)
    throw unsupported(in.where(), "bits is " + std::to_string(a.bits), "2, 4 and 8 are supported");
  constexpr int64_t kMost = int64_t{1} << 30;  // keeps products of these inside int64
  if (a.k < 1 || a.n < 1 || a.k > kMost || a.n > kMost || a.block_size < kLeastBlock ||
      a.block_size > kMost || (a.block_size & (a.block_size - 1)) != 0)
    in.fail("K, N and block_size are " + std::to_string(a.k) + ", " + std::to_string(a.n) +
                " and " + std::to_string(a.block_size),
            "K and N of at least 1 and a power of two of at least " + std::to_string(kLeastBlock) +
                " are needed");
  const TensorType& x = in[0];
  if (x.rank() < 1 || (x.dims.back().known() && !x.dims.back().is(a.k)))
    in.fail("operand 0 is " + to_string(x) +
            ", its last extent must be K = " + std::to_string(a.k));
  if (in[1].dtype != DType::u8) in.fail("operand 1 is " + to_string(in[1]) + ", bytes are needed");
  require_matrix(in, 1, a.n, a.blocks() * a.blob());
  require_float(in, 2);
  require_matrix(in, 2, a.n, a.blocks());
  if (in.has(3)) {
    if (in[3].dtype == DType::u8)
      require_matrix(in, 3, a.n, a.zero_bytes());
    else
      require_float(in, 3), require_matrix(in, 3, a.n, a.blocks());
  }
  if (in.has(4))
    throw unsupported(in.where(), "weights in another order (g_idx) are not supported",
                      "quantise without reordering");
  if (in.has(5)) {
    if (in[5].dtype != x.dtype)
      in.fail("the bias is " + to_string(in[5]) + ", operand 0 " + to_string(x));
    require_rank(in, 5, 1);
    require_matrix(in, 5, a.n, 1);
  }
  TensorType y = x;
  y.dims.back() = Dim(a.n);
  return {std::move(y)};
}

/// Number i of a packed row.
int64_t unpacked(const int64_t* bytes, int64_t i, int64_t bits) {
  const int64_t at = i * bits;
  return bytes[at / 8] >> (at % 8) & ((int64_t{1} << bits) - 1);
}

template <class Real>
void reference(const MatMulNBits& a, Ref<Real>& r) {
  const auto x = r.real(0), scales = r.real(2);
  const auto packed = r.ints(1);
  const auto y = r.out_real(0);
  const int64_t rows = int64_t(x.size()) / a.k;
  std::vector<double> w(size_t(a.k), 0);
  for (int64_t n = 0; n < a.n; ++n) {
    const int64_t* row = packed.data() + n * a.blocks() * a.blob();
    for (int64_t k = 0; k < a.k; ++k) {
      const int64_t block = k / a.block_size;
      double zero = double(int64_t{1} << (a.bits - 1));
      if (r.has(3) && r.is_real(3))
        zero = double(r.real(3)[size_t(n * a.blocks() + block)]);
      else if (r.has(3))
        zero = double(unpacked(r.ints(3).data() + n * a.zero_bytes(), block, a.bits));
      w[size_t(k)] = (double(unpacked(row + block * a.blob(), k % a.block_size, a.bits)) - zero) *
                     double(scales[size_t(n * a.blocks() + block)]);
    }
    for (int64_t m = 0; m < rows; ++m) {
      double sum = r.has(5) ? double(r.real(5)[size_t(n)]) : 0;
      for (int64_t k = 0; k < a.k; ++k) sum += double(x[size_t(m * a.k + k)]) * w[size_t(k)];
      y[size_t(m * a.n + n)] = Real(sum);
    }
  }
}

/// Bytes [N, ...] as [N, 8 / bits times as many] numbers.
ValueId unpack(const MatMulNBits& a, Builder& b, ValueId bytes, int64_t per_row) {
  const ValueId rows = b.reshape(bytes, {a.n, per_row, 1});
  if (a.bits == 8) return b.reshape(rows, {a.n, per_row});
  const ValueId base = b.scalar(double(int64_t{1} << a.bits), rows);
  Values parts;
  ValueId left = rows;
  for (int64_t bit = 0; bit < 8; bit += a.bits) {
    parts.push_back(b.one("Mod", {left, base}));
    if (bit + a.bits < 8) left = b.div(left, base);
  }
  return b.reshape(b.one("Concat", parts, {{"axis", int64_t{2}}}), {a.n, per_row * 8 / a.bits});
}

ValueId zero_points(const MatMulNBits& a, Builder& b, const Values& in, DType dtype) {
  if (in.size() < 4 || in[3] == kNoValue)
    return b.constant(Tensor::scalar(double(int64_t{1} << (a.bits - 1))).cast(dtype));
  ValueId zero = in[3];
  if (b.type(zero).dtype == DType::u8) {
    zero = unpack(a, b, zero, a.zero_bytes());
    if (a.zero_bytes() * 8 / a.bits != a.blocks())
      zero = b.one("Slice", {zero, b.ints({0}), b.ints({a.blocks()}), b.ints({1})});
  }
  return b.reshape(b.cast(zero, dtype), {a.n, a.blocks(), 1});
}

Values expand(const MatMulNBits& a, Builder& b, const Values& in) {
  const DType dtype = b.type(in[0]).dtype;
  const ValueId numbers =
      b.reshape(unpack(a, b, in[1], a.blocks() * a.blob()), {a.n, a.blocks(), a.block_size});
  const ValueId centred = b.sub(b.cast(numbers, dtype), zero_points(a, b, in, dtype));
  const ValueId scales = b.reshape(b.cast(in[2], dtype), {a.n, a.blocks(), 1});
  ValueId w = b.reshape(b.mul(centred, scales), {a.n, a.blocks() * a.block_size});
  if (a.blocks() * a.block_size != a.k)
    w = b.one("Slice", {w, b.ints({0}), b.ints({a.k}), b.ints({1})});
  const ValueId y = b.matmul(in[0], b.transpose(w, {1, 0}));
  return {in.size() > 5 && in[5] != kNoValue ? b.add(y, in[5]) : y};
}

Cost cost(const MatMulNBits&, const TypesIn& in, const Types& out) {
  return contraction(double(out[0].tensor().numel()) * double(in[0].dims.back().value()), in, out);
}

// Leading axes of A are the result's; N may be cut row by row. K stands in packed blocks.
AxisMap axes(const MatMulNBits& a, const TypesIn& in, const Types&) {
  AxisMap map;
  const int64_t last = in[0].rank() - 1;
  for (int64_t d = 0; d < last; ++d)
    if (in[0].dims[size_t(d)].known())
      map.ties.push_back(
          {in[0].dims[size_t(d)].value(), {AxisPlace::in(0, d), AxisPlace::out(0, d)}, !in.has(5)});
  AxisTie results{a.n, {AxisPlace::out(0, last)}};
  for (size_t i : {1, 2, 3, 5}) {
    if (!in.has(i)) continue;
    const bool flat = in[i].rank() == 1;
    results.places.push_back(AxisPlace::in(int(i), 0, flat ? in[i].numel() / a.n : 1));
  }
  map.ties.push_back(std::move(results));
  return map;
}

Resized resized(const MatMulNBits& a, const TypesIn&, const TypesIn&, const Types& wanted) {
  MatMulNBits cut = a;
  if (const Dim& n = wanted[0].tensor().dims.back(); n.known()) cut.n = n.value();
  return {Attributes::of(cut), {}};
}

}  // namespace

const Room& matmul_nbits() {
  using M = MatMulNBits;
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  const auto bytes = [](Shape s) { return OperandSpec::ranged(std::move(s), 0, 255, DType::u8); };
  const auto scales = [](Shape s) { return OperandSpec::ranged(std::move(s), 0.01, 0.1); };
  const auto none = [] { return OperandSpec::omitted(); };
  static const Room room = make_room<M>({
      .onnx = {"MatMulNBits", 1, "com.microsoft"},
      .arity = {3, 6},
      .attributes = {required("K", &M::k),
                     required("N", &M::n),
                     {"bits", &M::bits},
                     required("block_size", &M::block_size),
                     {"accuracy_level", &M::accuracy_level}},
      .infer = infer,
      .reference = ESP_REFERENCE(M, reference),
      .gradient = Derive{},
      .cost = cost,
      .axes = axes,
      .quantize = Refuse{"its weight is in integers already"},
      .pointwise = not_pointwise(),
      .expand = expand,
      .emit = Derive{},
      .samples = {{{32, 3, 4, 16}, {x({2, 32}), bytes({3, 2, 8}), scales({3, 2})}},
                  {{40, 2, 4, 16},
                   {x({2, 2, 40}), bytes({2, 3, 8}), scales({6}), bytes({4}), none(), x({2})}},
                  {{16, 3, 2, 16},
                   {x({1, 16}), bytes({3, 1, 4}), scales({3, 1}),
                    OperandSpec::ranged({3, 1}, 1, 2)}},
                  {{16, 2, 8, 16}, {x({3, 16}), bytes({2, 1, 16}), scales({2, 1}), bytes({2})}}},
      .resized = resized,
  });
  return room;
}

}  // namespace espalier::ops
