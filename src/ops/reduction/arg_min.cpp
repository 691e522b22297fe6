// ArgMin, ONNX opset 13: where along an axis the smallest element is; of equals the first, or the
// last with select_last_index.
#include "ops/emit.h"
#include "ops/reduction/arg_extreme.h"

namespace espalier::ops {
namespace {

template <class Real>
void reference(const ArgExtreme& a, Ref<Real>& r) {
  arg_extreme(a, r, [](auto x, auto best) { return x < best; });
}

void emit(const ArgExtreme& a, CWriter& c) { emit_arg_extreme(a, c, "<"); }

}  // namespace

const Room& arg_min() {
  static const Room room = make_room<ArgExtreme>({
      .onnx = {"ArgMin", 13},
      .arity = {1, 1},
      .attributes = {{"axis", &ArgExtreme::axis},
                     {"keepdims", &ArgExtreme::keepdims},
                     {"select_last_index", &ArgExtreme::select_last_index}},
      .infer = infer_arg_extreme,
      .reference = ESP_REFERENCE(ArgExtreme, reference),
      .gradient = not_differentiable(),
      .cost = arg_extreme_cost,
      .axes = arg_extreme_axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{1}, {OperandSpec::of({2, 3, 4})}},
                  {{-1, false}, {OperandSpec::of({3, 4})}},
                  {{0, true, true}, {OperandSpec::ranged({6, 2}, 0, 1, DType::i32)}}},
  });
  return room;
}

}  // namespace espalier::ops
