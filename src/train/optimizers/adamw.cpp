// AdamW: Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101). State: two
// moments per element.
#include "train/optimizers/matrices.h"

namespace espalier {

const OptimizerUnit& adamw_optimizer() {
  static const OptimizerUnit unit = {
      "adamw", "Loshchilov & Hutter 2019, arXiv:1711.05101", adam_settings(0.9, 0.999), adamw_step,
      nullptr, OptimizerUnit::Response::kEntrywise};
  return unit;
}

}  // namespace espalier
