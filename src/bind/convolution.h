// What the kernels of convolutions and of their gradients share.
#pragma once

#include "bind/binder.h"
#include "kernels/convolution.h"

namespace espalier::bind {

inline bool dense_float(DType t) { return t == DType::f32 || t == DType::bf16; }

/// The gradient of a convolution of x by w giving y, its element types those of the request's
/// operands; `weight_type` is that of the weight or its gradient.
std::variant<kernels::ConvGradSpec, Refuse> gradient_spec(const BindRequest& r, const Shape& x,
                                                          const Shape& w, const Shape& y,
                                                          DType weight_type);

Bound bind_grad_weight(const BindRequest& r);

}  // namespace espalier::bind
