// Flatten, ONNX opset 13: a matrix whose rows run over the axes before `axis` and whose columns run
// over the rest.
#include "ops/emit.h"
#include "ops/shape/move.h"

namespace espalier::ops {
namespace {

struct Flatten {
  int64_t axis = 1;
};

/// The product of extents: a number, the one extent that is none, or unknown.
Dim product_of(std::span<const Dim> dims) {
  int64_t known = 1;
  const Dim* symbol = nullptr;
  for (const Dim& d : dims) {
    if (d.known()) {
      known = numel(Shape{known, d.value()});
    } else if (symbol) {
      return Dim::unknown();
    } else {
      symbol = &d;
    }
  }
  return !symbol ? Dim(known) : known == 1 ? *symbol : Dim::unknown();
}

Types infer(const Flatten& a, const TypesIn& in) {
  const int64_t rank = in[0].rank();
  if (a.axis < -rank || a.axis > rank)
    in.fail("axis " + std::to_string(a.axis) + " is outside " + to_string(in[0]));
  const auto at = size_t(a.axis < 0 ? a.axis + rank : a.axis);
  const std::span<const Dim> dims = in[0].dims;
  return {TensorType(in[0].dtype, Dims{product_of(dims.first(at)), product_of(dims.subspan(at))})};
}

template <class Real>
void reference(const Flatten&, Ref<Real>& r) {
  r.out_tensor(0) = r.tensor(0).clone().reshaped(r.out_shape(0));
}

Values gradient(const Flatten&, Builder& b, const Tape& t) {
  return {b.one("Reshape", {t.dy(), shape_of(b, t.x(0))}, {{"allowzero", int64_t{1}}})};
}

AxisMap axes(const Flatten&, const TypesIn& in, const Types& out) {
  return reshaped_axes(in[0], out[0].tensor());
}

}  // namespace

const Room& flatten() {
  static const Room room = make_room<Flatten>({
      .onnx = {"Flatten", 13},
      .arity = {1, 1},
      .attributes = {{"axis", &Flatten::axis}},
      .infer = infer,
      .reference = ESP_REFERENCE(Flatten, reference),
      .gradient = gradient,
      .cost = moves_nothing<Flatten>,
      .axes = axes,
      .quantize = moves_quantized<Flatten>,
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit_view<Flatten>,
      .samples = {{{}, {OperandSpec::of({2, 3, 4})}},
                  {{0}, {OperandSpec::of({2, 3})}},
                  {{-1}, {OperandSpec::of({2, 3, 2})}},
                  {{}, {OperandSpec::of({0, 3})}}},
  });
  return room;
}

}  // namespace espalier::ops
