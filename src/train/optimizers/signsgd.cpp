// signSGD (Bernstein et al. 2018, "signSGD: Compressed Optimisation for Non-Convex Problems",
// arXiv:1802.04434, algorithm 1), with decoupled weight decay. No state.
#include "train/optimizers/matrices.h"

namespace espalier {
namespace {

ValueId step(ParameterStep& p) {
  MatrixStep m(p);
  return m.applied(m.builder().one("Sign", {m.gradient()}));
}

}  // namespace

const OptimizerUnit& signsgd_optimizer() {
  static const OptimizerUnit unit = {"signsgd", "Bernstein et al. 2018, arXiv:1802.04434", {}, step,
                                     nullptr,   OptimizerUnit::Response::kEntrywise};
  return unit;
}

}  // namespace espalier
