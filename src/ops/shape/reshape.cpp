// Reshape, ONNX opset 14: the same elements under another shape. A target of -1 is what is left, 0
// copies the operand's extent (unless allowzero).
#include <cstring>

#include "ops/common.h"

namespace espalier::ops {
namespace {

struct Reshape {
  bool allowzero = false;
};

Types infer(const Reshape& a, const TypesIn& in) {
  const auto target = in.ints(1);
  if (!target) {
    // Only the rank is known before the target is.
    if (in[1].rank() != 1 || !in[1].dims[0].known())
      in.fail("the target shape must be a list of known length");
    return {TensorType(in[0].dtype, Dims(size_t(in[1].dims[0].value()), Dim::unknown()))};
  }
  Dims dims;
  int rest = -1;
  for (size_t i = 0; i < target->size(); ++i) {
    const int64_t d = (*target)[i];
    if (d == -1) {
      if (rest >= 0) in.fail("the target " + to_string(*target) + " has two extents of -1");
      rest = int(i);
      dims.push_back(Dim::unknown());
    } else if (d == 0 && !a.allowzero) {
      if (i >= in[0].dims.size()) in.fail("the target copies an axis the operand does not have");
      dims.push_back(in[0].dims[i]);
    } else if (d < 0) {
      in.fail("the target " + to_string(*target) + " has a negative extent");
    } else {
      dims.emplace_back(d);
    }
  }
  // Extents that stand on both sides cancel; what remains must be numbers to be divided.
  Dims have = in[0].dims, want = dims;
  if (rest >= 0) want.erase(want.begin() + rest);
  for (auto it = want.begin(); it != want.end();) {
    const auto same = it->known() ? have.end() : std::find(have.begin(), have.end(), *it);
    if (same == have.end()) {
      ++it;
    } else {
      have.erase(same);
      it = want.erase(it);
    }
  }
  const TensorType left(DType::f32, have), right(DType::f32, want);
  if (!left.is_static() || !right.is_static()) {
    if (rest >= 0 && have.size() == 1 && right.is_static() && right.numel() == 1)
      dims[size_t(rest)] = have[0];
    return {TensorType(in[0].dtype, std::move(dims))};
  }
  const int64_t n = left.numel(), m = right.numel();
  if (rest >= 0) {
    if (m == 0 ? n != 0 : n % m != 0)
      in.fail("cannot reshape " + to_string(in[0]) + " to " + to_string(*target));
    dims[size_t(rest)] = Dim(m == 0 ? 0 : n / m);
  } else if (n != m) {
    in.fail("cannot reshape " + to_string(in[0]) + " to " + to_string(*target));
  }
  return {TensorType(in[0].dtype, std::move(dims))};
}

template <class Real>
void reference(const Reshape&, Ref<Real>& r) {
  r.out_tensor(0) = r.tensor(0).clone().reshaped(r.out_shape(0));
}

Values gradient(const Reshape&, Builder& b, const Tape& t) {
  return {b.one("Reshape", {t.dy(), b.one("Shape", {t.x(0)})}, {{"allowzero", int64_t{1}}}),
          kNoValue};
}

Cost cost(const Reshape&, const TypesIn&, const Types&) { return {}; }

// Runs of axes with equal products correspond. Within a run the widest-striding axis that is alone
// on one side ties to its block on the other: [C,H,W] -> [C*H*W] ties C with inner = H*W.
AxisMap axes(const Reshape&, const TypesIn& in, const Types& out) {
  const Shape from = in[0].shape(), to = out[0].tensor().shape();
  AxisMap map;
  size_t i = 0, j = 0;
  while (i < from.size() && j < to.size()) {
    size_t i_end = i + 1, j_end = j + 1;
    int64_t p = from[i], q = to[j];
    while (p != q) {
      if (p < q && i_end < from.size())
        p *= from[i_end++];
      else if (q < p && j_end < to.size())
        q *= to[j_end++];
      else
        return map;
    }
    if (p == 0) return map;
    // Extents of 1 may belong to either side; they tie to nothing.
    const bool split = i_end - i == 1, merge = j_end - j == 1;
    if (split && merge) {
      map.ties.push_back({from[i], {AxisPlace::in(0, int64_t(i)), AxisPlace::out(0, int64_t(j))}});
    } else if (merge || split) {
      const Shape& parts = merge ? from : to;
      const size_t begin = merge ? i : j, end = merge ? i_end : j_end;
      int64_t outer = 1;
      for (size_t axis = begin; axis < end; ++axis) {
        const int64_t inner = product(parts, axis + 1, end);
        const AxisPlace part =
            merge ? AxisPlace::in(0, int64_t(axis)) : AxisPlace::out(0, int64_t(axis));
        const AxisPlace whole = merge ? AxisPlace::out(0, int64_t(j), inner, outer)
                                      : AxisPlace::in(0, int64_t(i), inner, outer);
        if (parts[axis] > 1) map.ties.push_back({parts[axis], {part, whole}});
        outer *= parts[axis];
      }
    }
    i = i_end;
    j = j_end;
  }
  return map;
}

QuantForm quantize(const Reshape&, const TypesIn&) {
  return {.activations = {0}, .result = QuantForm::Result::kSameAsInput};
}

// The target shape is a constant: it becomes the wanted result's.
Resized resized(const Reshape& a, const TypesIn&, const TypesIn&, const Types& wanted) {
  return {Attributes::of(a), {{1, Tensor::vector_i64(wanted[0].tensor().shape())}}};
}

}  // namespace

const Room& reshape() {
  static const Room room = make_room<Reshape>({
      .onnx = {"Reshape", 14},
      .arity = {2, 2},
      .attributes = {{"allowzero", &Reshape::allowzero}},
      .infer = infer,
      .reference = ESP_REFERENCE(Reshape, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = quantize,
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .samples = {{{}, {OperandSpec::of({2, 3, 4}), OperandSpec::list({2, 12})}},
                  {{}, {OperandSpec::of({2, 3, 4}), OperandSpec::list({0, -1})}},
                  {{}, {OperandSpec::of({2, 6}), OperandSpec::list({2, 3, 2})}},
                  {{true}, {OperandSpec::of({0, 3}), OperandSpec::list({3, 0})}}},
      .resized = resized,
  });
  return room;
}

}  // namespace espalier::ops
