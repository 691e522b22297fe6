// Attributes of BatchNormalization and of its gradient.
#pragma once

namespace espalier::ops {

struct BatchNormalization {
  float epsilon = 1e-5f;
  float momentum = 0.9f;
  bool training_mode = false;
};

struct BatchNormGrad {
  /// The forward operator's; variances follow from saved_inv_std by it.
  float epsilon = 1e-5f;
};

}  // namespace espalier::ops
