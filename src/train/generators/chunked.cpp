// The weights in pieces of equal length, each from the condition and a learned vector of its own by
// the same small network (von Oswald et al. 2020, arXiv:1906.00695, section 2.3): fewer parameters
// than weights are possible, and no piece knows of another.
#include <cmath>

#include "train/generator.h"

namespace espalier {
namespace {

ValueId write(Generating& g) {
  Builder b = g.builder();
  const int64_t width = g.whole("width"), own = g.whole("embedding");
  // [condition, piece] times one matrix, as the sum of two products: [rows, 1, w] + [pieces, w].
  const ValueId pieces = g.parameter("pieces", {g.chunks(), own}, 1);
  const double gain = 2.0 / double(g.features() + own);
  const ValueId from_condition = g.linear(g.input(), "fc1", width, gain * double(g.features()));
  const ValueId weight = g.parameter("fc1.piece_weight", {own, width}, std::sqrt(gain));
  ValueId x = b.add(b.reshape(from_condition, {g.rows(), 1, width}), b.matmul(pieces, weight));
  x = b.one("Relu", {x});
  for (int64_t i = 1; i < g.whole("layers"); ++i)
    x = b.one("Relu", {g.linear(x, "fc" + std::to_string(i + 1), width, 2)});
  return g.joined(g.linear(x, "head", g.whole("chunk"), 1));
}

}  // namespace

const GeneratorUnit& chunked_generator() {
  static const GeneratorUnit unit = {
      "chunked",
      "von Oswald et al. 2020, arXiv:1906.00695",
      "one small network for pieces of the weights, each with a vector of its own",
      {{"chunk", 256, 1, 1 << 24, "weights of a piece", false, true},
       {"layers", 2, 1, 16, "hidden layers", false, true},
       {"width", 32, 1, 65536, "of each of them", false, true},
       {"embedding", 8, 1, 4096, "numbers of a piece's own vector", false, true}},
      write};
  return unit;
}

}  // namespace espalier
