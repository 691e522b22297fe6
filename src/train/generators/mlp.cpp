// Fully connected layers with leaky rectifiers, then one layer that gives every weight at once: the
// generator of Ortiz et al. 2023 (arXiv:2304.07645, section 4). Without biases at first, all it
// gives is proportional to its input.
#include "train/generator.h"

namespace espalier {
namespace {

ValueId write(Generating& g) {
  constexpr double kSlope = 0.01;
  ValueId x = g.input();
  for (int64_t i = 0; i < g.whole("layers"); ++i) {
    const std::string name = "fc" + std::to_string(i + 1);
    x = g.linear(x, name, g.whole("width"), 2 / (1 + kSlope * kSlope));
    x = g.builder().one("LeakyRelu", {x}, {{"alpha", float(kSlope)}});
  }
  return g.linear(x, "head", g.total(), 1);
}

}  // namespace

const GeneratorUnit& mlp_generator() {
  static const GeneratorUnit unit = {"mlp",
                                     "Ortiz et al. 2023, arXiv:2304.07645",
                                     "fully connected layers that give all weights at once",
                                     {{"layers", 2, 1, 16, "hidden layers", false, true},
                                      {"width", 64, 1, 65536, "of each of them", false, true}},
                                     write};
  return unit;
}

}  // namespace espalier
