// One test of the compiler: a graph, the passes to run over it, and the values of its inputs by
// seed. As a file it is the `.esp` text of the graph; what is not in the graph stands in `meta`
// lines whose keys begin with "fuzz.".
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/rng.h"
#include "ir/graph.h"

namespace espalier::fuzz {

/// Values of an input: uniform, of integers inclusive of `hi`.
struct Range {
  double lo = -1, hi = 1;
  bool operator==(const Range&) const = default;
};

struct Case {
  Graph graph;
  std::map<std::string, Range> ranges;     ///< by input; [-1, 1] where there is none
  std::map<std::string, int64_t> extents;  ///< what symbols stand for
  std::vector<std::string> passes;         ///< in order; one may come twice
  uint64_t seed = 0;                       ///< of the inputs' values
};

/// A tensor of uniform values.
Tensor drawn(DType dtype, const Shape& shape, const Range& range, const Rng& rng);
/// Shapes of the inputs. UserError for an extent that nothing gives a number for.
std::vector<Shape> shapes_of(const Case& c);
/// Values of the inputs, a function of the seed and of each input's name, range and shape.
std::vector<Tensor> inputs_of(const Case& c);

/// The graph's outputs become the results that nobody reads; inputs and constants without readers
/// go. The graph is compact afterwards.
void settle(Case& c);

/// What a file says besides the case itself.
struct Note {
  std::string oracle;  ///< what was found to differ: "kernels", "pass fold_identity", …
  std::string found;   ///< in words
};
std::string to_text(const Case& c, const Note& note = {});
/// UserError naming `file` and the line or the key.
Case case_from_text(std::string_view text, const std::string& file, Note* note = nullptr);

}  // namespace espalier::fuzz
