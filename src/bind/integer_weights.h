// What an integer contraction needs besides its operands: scales of its sum, and the bias in them.
#pragma once

#include "bind/contraction.h"

namespace espalier::bind {

struct IntegerWeights {
  std::vector<float> scales;  ///< of the sum: one, or one per output channel
  Tensor bias;                ///< f32, in units of the sum; empty if there is none
};

/// For operands 0 (activation, one scale), `weight` (signed, symmetric, with scales along
/// `channel_axis` or one) and 2 (bias, optional). With `take_offset`, the activation's zero point
/// is taken out of the sum through the bias.
std::variant<IntegerWeights, Refuse> integer_weights(const Contraction& c, size_t weight,
                                                     int64_t channel_axis, bool take_offset);

/// Why oneDNN's kernels may not compute a contraction here, where it is one of integers.
std::optional<Refuse> saturating_sums(const Contraction& c);

}  // namespace espalier::bind
