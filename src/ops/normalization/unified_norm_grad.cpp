// espalier.UnifiedNormGrad(dy, x, scale, after [window + 4, C], before [window + 4, C],
//     gradient_statistics [window + 1, C]) -> dx, dscale, dbias, next_gradient_statistics
// The backward pass of UnifiedNormalization (Yang et al., arXiv:2208.01313): the statistics that a
// normalisation's gradient needs are smoothed as those of its forward pass are. With s and r the
// mean square that the step used and its deviation's ratio to the running one (rows of `after`),
//   z = x / sqrt(s + epsilon),  g = r scale dy,  p = mean over tokens of g z
//   m = momentum m + (1 - momentum) * mean of p over the last `window` steps
//   dx = (g - m z) / sqrt(s + epsilon),  dscale = r sum dy z,  dbias = sum dy.
// A step that used its own statistics takes p in the place of m, which is the formula's gradient;
// one that was filtered leaves m in the window instead of p.
#include "ops/catalogue.h"
#include "ops/normalization/unified_normalization.h"

namespace espalier::ops {
namespace {

using Norm = UnifiedNormalization;

Types infer(const Norm& a, const TypesIn& in) {
  for (size_t i = 0; i < 6; ++i) require_float(in, i);
  require_same_dtype(in, 0, 6);
  if (in[1].rank() < 2) in.fail("operand 1 is " + to_string(in[1]));
  require_like_result(in, 0, in[1]);
  const Dim channels = in[1].dims.back();
  const auto like = [&](const Dims& dims) { return TensorType(in[1].dtype, dims); };
  require_like_result(in, 2, like({channels}));
  for (size_t i : {3, 4}) require_like_result(in, i, like({Dim(a.window + kWindow), channels}));
  require_like_result(in, 5, like({Dim(a.window + kGradientWindow), channels}));
  return {in[1], in[2], in[2], in[5]};
}

Values expansion(const Norm& a, Builder& b, const Values& in) {
  const ValueId dy = in[0], x = in[1], scale = in[2], after = in[3], before = in[4], own = in[5];
  const auto row = [&](ValueId of, int64_t i) { return rows_of(b, of, i, i + 1); };
  const ValueId used = row(after, kUsedSquare), ratio = row(after, kRatio);
  const ValueId skipped = b.sub(row(after, kSkips), row(before, kSkips));
  const ValueId exact = uses_own(a, b, row(after, kSteps), skipped);
  const ValueId inv = b.div(b.scalar(1, used), b.sqrt(b.add(used, double(a.epsilon))));
  const std::vector<int64_t> tokens = axes_but_last(b, x);
  const ValueId product = b.mul(dy, x);
  const auto per_channel = [&](ValueId v) { return b.reshape(v, {1, -1}); };
  const ValueId sum = b.mul(per_channel(b.reduce_sum(product, tokens, false)), inv);
  // The mean from the sum where the number of tokens is known.
  ValueId mean = kNoValue;
  if (const TensorType& type = b.type(x); type.is_static()) {
    const int64_t channels = std::max<int64_t>(1, type.dims.back().value());
    mean = b.mul(sum, double(channels) / double(std::max<int64_t>(1, type.numel())));
  } else {
    mean = b.mul(per_channel(b.reduce_mean(product, tokens, false)), inv);
  }
  const ValueId gain = b.mul(scale, ratio);
  const ValueId along = b.mul(gain, mean);
  const ValueId moving = row(own, kMovingMean);
  const ValueId entry = b.where(b.greater(skipped, b.scalar(0.5, skipped)), moving, along);
  const ValueId window = pushed(b, entry, rows_of(b, own, kGradientWindow, a.window + 1), a.window);
  const ValueId smooth = b.where(exact, along, b.reduce_mean(window, {0}));
  const ValueId next =
      b.add(b.mul(moving, double(a.momentum)), b.mul(smooth, 1 - double(a.momentum)));
  const ValueId taken = b.where(exact, along, next);
  const ValueId dx = b.sub(b.mul(dy, b.mul(gain, inv)), b.mul(x, b.mul(b.mul(inv, inv), taken)));
  return {dx, b.reshape(b.mul(sum, ratio), {-1}), b.reduce_sum(dy, tokens, false),
          b.one("Concat", {next, window}, {{"axis", int64_t{0}}})};
}

Cost cost(const Norm&, const TypesIn& in, const Types& out) { return map_cost(7, in, out); }

}  // namespace

const Room& unified_norm_grad() {
  using Spec = OperandSpec;
  const auto x = [](Shape shape) { return Spec::of(std::move(shape)); };
  // Rows: the mean square, its ratio, steps, filtered ones, the window.
  const auto statistics = [](int64_t window, float steps, float skips) {
    std::vector<float> values;
    for (int64_t row = 0; row < window + kWindow; ++row)
      for (int64_t c = 0; c < 3; ++c)
        values.push_back(row == kSteps   ? steps
                         : row == kSkips ? skips
                                         : 0.5f + 0.25f * float((row + c) % 3));
    return Spec::fixed(Tensor::from<float>({window + kWindow, 3}, values));
  };
  const Norm a{1e-3f, 0.8f, 3, 10, true, true};
  const auto sample = [&](float steps, float skips) {
    return SampleOf<Norm>{a,
                          {x({2, 4, 3}), x({2, 4, 3}), x({3}), statistics(3, steps, skips),
                           statistics(3, steps - 1, 0), x({4, 3})}};
  };
  static const Room room = make_room<Norm>({
      .onnx = {"UnifiedNormGrad", 1, "espalier"},
      .arity = {6, 6, 4, 4},
      .attributes = {{"epsilon", &Norm::epsilon},
                     {"momentum", &Norm::momentum},
                     {"window", &Norm::window},
                     {"warmup", &Norm::warmup},
                     {"filter", &Norm::filter},
                     {"training_mode", &Norm::training_mode}},
      .infer = infer,
      .reference = Derive{},
      .gradient = Refuse{"a second derivative of a normalisation is not offered"},
      .cost = cost,
      .axes = Refuse{"cut the network before it is differentiated"},
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = expansion,
      .emit = Derive{},
      // Past the first steps, among them, and filtered.
      .samples = {sample(50, 0), sample(5, 0), sample(50, 1)},
  });
  return room;
}

}  // namespace espalier::ops
