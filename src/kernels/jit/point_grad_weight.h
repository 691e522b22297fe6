// The gradient of windows of one element in f32, whose operands generated code reads where they
// lie: dw = dy^T x over all positions.
#pragma once

#include "kernels/jit/generated_grad_weight.h"

namespace espalier::kernels {

/// Every position of y is read from the same one of x, in f32.
bool reads_positions_in_place(const ConvGradSpec& spec);

/// Generates what `no_generated_grad_weight` has no objection to and reads positions in place.
std::shared_ptr<const GeneratedGradWeight> generate_point_grad_weight(const ConvGradSpec& spec);

}  // namespace espalier::kernels
