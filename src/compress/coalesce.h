// Coalescing and de-coalescing: a network's smaller copy, with neighbouring groups of its axis
// classes and neighbouring blocks merged, and the way back, for values and for moments
// (Zou et al. 2024, arXiv:2404.07999, "A multi-level framework for accelerating training
// transformer models"; read from its abstract and the authors' tool).
//
// In width, the large network with de-coalesced values computes what the small one does. In depth,
// blocks become their mean and a block is copied, as in the paper; that changes the function.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "compress/merged_widths.h"

namespace espalier {

struct CoalesceOptions {
  int64_t width = 2;  ///< groups of a class that become one; 1: widths stay
  int64_t depth = 2;  ///< blocks that become one, the last set of a run may be smaller; 1: all stay
  /// Classes that stay whole, by name; '*' stands for any letters, '?' for one.
  std::vector<std::string> whole = {};
};

class Coarsening {
 public:
  using Tensors = std::map<std::string, Tensor>;

  /// UserError where the network repeats no blocks or has no class that can be merged, where a name
  /// in `whole` fits no class, and where the network cannot be made to compute the same at both
  /// widths (which is tried, on numbers drawn at random).
  Coarsening(const Graph& network, const CoalesceOptions& options);

  /// The small network; values are those of the given one, coalesced.
  const Graph& small() const { return small_; }
  /// Tensors by names of the large network's constants, of their shapes, as tensors of the small
  /// one, which has the names of the first of each set; those not all of which are given are left
  /// out. `degree` as in merged().
  Tensors coalesced(const Tensors& large, int degree = 0) const;
  /// And back: coalesced(decoalesced(x)) is x.
  Tensors decoalesced(const Tensors& small, int degree = 0) const;

  /// Names of the classes that were merged, and of those that stayed whole.
  const std::vector<std::string>& merged_classes() const { return merged_; }
  const std::vector<std::string>& whole_classes() const { return whole_; }

 private:
  /// A small network's tensor as wide as those of the large one.
  Tensor widened(const std::string& name, const Tensor& small, int degree) const;

  /// The small network's name of a constant, and which of the large one's become it.
  std::map<std::string, std::vector<std::string>> of_depth_;
  std::map<std::string, std::vector<MergedAxis>> of_width_;  ///< by the small network's name
  std::vector<std::string> merged_, whole_;
  Graph small_;
};

/// Values of all float constants, by name.
Coarsening::Tensors constant_values(const Graph& network);

/// (1 - alpha) a + alpha b of the tensors that both have; what `a` alone has stays.
Coarsening::Tensors interpolated(const Coarsening::Tensors& a, const Coarsening::Tensors& b,
                                 double alpha);

}  // namespace espalier
