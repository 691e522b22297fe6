// Reversible blocks: y1 = x1 + F(x2), y2 = x2 + G(y1). Their inputs follow from their outputs, x2 =
// y2 - G(y1) and x1 = y1 - F(x2), so that the backward pass computes them again from the end of a
// chain of such blocks and nothing inside the chain is kept for it: its memory does not grow with
// the chain's length (Gomez et al. 2017, arXiv:1707.04585, "The reversible residual network",
// section 3; the coupling is that of Dinh et al., arXiv:1410.8516).
#pragma once

#include <string>
#include <vector>

#include "train/step.h"

namespace espalier {

/// sum = stream + term, where of all that depends on the network's input `term` reads `partner`
/// alone. Values of the forward pass, by name.
struct Coupling {
  std::string sum, stream, term, partner;
};

/// The couplings of a step, in the order in which the forward pass computes them, that can be
/// inverted: their partners follow from what comes later, or are sums of couplings of the other
/// stream. They are found by what depends on what, whatever the network's definition calls them.
/// An addition x + F(x) is none.
std::vector<Coupling> couplings(const StepGraph& step);

struct ReversibleStep {
  StepGraph step;
  int64_t couplings = 0;
  /// Bytes of the forward pass that last until the backward pass, before and now.
  int64_t saved_before = 0, saved = 0;
};
/// The step whose backward pass reads the streams of couplings as they follow from the ends of
/// their chains, and what lies inside the couplings' functions computed again from there. It
/// computes what the given step does to within rounding. Running statistics move once, what is
/// drawn at random is drawn again alike. UserError where the step has no couplings.
ReversibleStep reversible(const StepGraph& step);

}  // namespace espalier
