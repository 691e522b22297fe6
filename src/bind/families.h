// The kernel families: one function per file of bind/, each listing which operators it serves.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "bind/binder.h"

namespace espalier::bind {

/// Operator name to candidate; earlier entries of earlier families are preferred.
using Entries = std::vector<std::pair<std::string, Candidate>>;

Entries view_entries();
Entries int8_convolution_entries();
Entries int8_depthwise_entries();
Entries generated_product_entries();
Entries integer_product_entries();
Entries winograd_entries();
Entries depthwise_entries();
Entries convolution_entries();
Entries matmul_entries();
Entries attention_entries();
Entries pointwise_entries();
Entries pooling_entries();
Entries normalization_entries();
Entries bounded_norm_entries();
Entries optimiser_entries();
Entries optimiser_basis_entries();
Entries reduction_entries();
Entries movement_entries();
Entries picked_entries();
Entries gather_entries();
Entries recurrent_entries();
Entries few_bits_entries();
Entries float8_entries();
Entries stored_step_entries();

/// All families in order of preference.
inline std::vector<Entries (*)()> families() {
  return {view_entries,
          int8_convolution_entries,
          int8_depthwise_entries,
          generated_product_entries,
          integer_product_entries,
          winograd_entries,
          depthwise_entries,
          convolution_entries,
          matmul_entries,
          attention_entries,
          pointwise_entries,
          pooling_entries,
          normalization_entries,
          bounded_norm_entries,
          optimiser_entries,
          optimiser_basis_entries,
          reduction_entries,
          movement_entries,
          picked_entries,
          gather_entries,
          recurrent_entries,
          few_bits_entries,
          float8_entries,
          stored_step_entries};
}

/// What serves every operator whose room answers the pointwise facet.
std::vector<Candidate> pointwise_candidates();

}  // namespace espalier::bind
