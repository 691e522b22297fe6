// The weights in pieces of equal length, one at each step of an LSTM that is fed the condition at
// all of them, so that every piece depends on those before (Chandra et al. 2023, "Continual
// Learning with Dependency Preserving Hypernetworks").
#include <algorithm>
#include <cmath>

#include "train/generator.h"

namespace espalier {
namespace {

/// Biases with which units forget over times spread from one step to all of them (Tallec & Ollivier
/// 2018, arXiv:1804.11188, section 2), so that every step's state differs from the last.
Tensor first_biases(int64_t width, int64_t steps) {
  constexpr int64_t kInput = 0, kForget = 2;  // of the gates i, o, f, c
  Tensor t(DType::f32, {1, 8 * width});
  for (int64_t u = 0; u < width; ++u) {
    const double part = (double(u) + 0.5) / double(width);
    const double time = 1 + part * double(std::max<int64_t>(1, steps - 2));
    t.mutable_data<float>()[kForget * width + u] = float(std::log(time));
    t.mutable_data<float>()[kInput * width + u] = -float(std::log(time));
  }
  return t;
}

ValueId write(Generating& g) {
  Builder b = g.builder();
  const int64_t width = g.whole("width"), steps = g.chunks(), gates = 4 * width;
  const ValueId every = b.one("Expand", {b.reshape(g.input(), {1, g.rows(), g.features()}),
                                         b.ints({steps, g.rows(), g.features()})});
  const ValueId w =
      g.parameter("lstm.weight", {1, gates, g.features()}, 1 / std::sqrt(double(g.features())));
  const ValueId r = g.parameter("lstm.recurrence", {1, gates, width}, 1 / std::sqrt(double(width)));
  const std::string name = "generator.lstm.bias";
  ValueId bias = b.graph().find(name);
  if (bias == kNoValue)
    bias = b.graph().add_constant(name, first_biases(width, steps), Role::kParameter);
  // [steps, 1, rows, width]
  const ValueId states =
      b.op("LSTM", {every, w, r, bias}, {{"hidden_size", width}}, "generator.lstm").at(0);
  const ValueId rows_first = b.transpose(b.reshape(states, {steps, g.rows(), width}), {1, 0, 2});
  return g.joined(g.linear(rows_first, "head", g.whole("chunk"), 1));
}

}  // namespace

const GeneratorUnit& recurrent_generator() {
  static const GeneratorUnit unit = {"recurrent",
                                     "Chandra et al. 2023, WACV",
                                     "an LSTM that gives a piece of the weights at each step",
                                     {{"chunk", 256, 1, 1 << 24, "weights of a piece", false, true},
                                      {"width", 32, 1, 65536, "units of the LSTM", false, true}},
                                     write};
  return unit;
}

}  // namespace espalier
