// Backpropagation: the exact gradient of the loss (Rumelhart et al. 1986, "Learning representations
// by back-propagating errors").
#include "train/rule.h"
#include "train/step.h"

namespace espalier {

const RuleUnit& backprop_rule() {
  static const RuleUnit unit = {"backprop",
                                "Rumelhart et al. 1986",
                                "exact gradients, from the loss back through every layer",
                                {},
                                [](RuleStep& s) { s.differentiate(s.step().objective); }};
  return unit;
}

}  // namespace espalier
