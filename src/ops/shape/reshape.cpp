// Reshape, ONNX opset 14: the same elements under another shape. A target of -1 is what is left, 0
// copies the operand's extent (unless allowzero).
#include "ops/emit.h"
#include "ops/shape/move.h"

namespace espalier::ops {
namespace {

struct Reshape {
  bool allowzero = false;
};

/// The symbol among `have` if there is one only and the numbers beside it make up `count`.
std::optional<Dim> only_symbol(const Dims& have, int64_t count) {
  std::optional<Dim> symbol;
  Shape numbers;
  for (const Dim& d : have) {
    if (d.known()) {
      numbers.push_back(d.value());
    } else {
      if (symbol) return std::nullopt;
      symbol = d;
    }
  }
  return count > 0 && numel(numbers) == count ? symbol : std::nullopt;
}

Types infer(const Reshape& a, const TypesIn& in) {
  const auto target = in.ints(1);
  if (!target) {
    // Only the rank is known before the target is.
    return {TensorType(in[0].dtype, Dims(size_t(list_length(in, 1)), Dim::unknown()))};
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
  // Symbols that stand on both sides cancel; what remains is a matter of numbers.
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
    if (rest >= 0 && right.is_static())
      if (const auto left_over = only_symbol(have, right.numel())) dims[size_t(rest)] = *left_over;
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
  return {b.one("Reshape", {t.dy(), shape_of(b, t.x(0))}, {{"allowzero", int64_t{1}}}), kNoValue};
}

AxisMap axes(const Reshape&, const TypesIn& in, const Types& out) {
  return reshaped_axes(in[0], out[0].tensor());
}

// The target becomes the wanted result's shape. A symbolic extent stays copied where it was copied,
// and is what is left otherwise.
Resized resized(const Reshape& a, const TypesIn& before, const TypesIn&, const Types& wanted) {
  const auto old = before.ints(1);
  std::vector<int64_t> target;
  for (const Dim& d : wanted[0].tensor().dims) {
    const size_t i = target.size();
    const bool copied = old && i < old->size() && (*old)[i] == 0 && !a.allowzero;
    target.push_back(d.known() ? d.value() : copied ? 0 : -1);
  }
  return {Attributes::of(a), {{1, Tensor::vector_i64(target)}}};
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
      .cost = moves_nothing<Reshape>,
      .axes = axes,
      .quantize = moves_quantized<Reshape>,
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit_view<Reshape>,
      .samples = {{{}, {OperandSpec::of({2, 3, 4}), OperandSpec::list({2, 12})}},
                  {{}, {OperandSpec::of({2, 3, 4}), OperandSpec::list({0, -1})}},
                  {{}, {OperandSpec::of({2, 6}), OperandSpec::list({2, 3, 2})}},
                  {{true}, {OperandSpec::of({0, 3}), OperandSpec::list({3, 0})}}},
      .resized = resized,
  });
  return room;
}

}  // namespace espalier::ops
