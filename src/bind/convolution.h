// What the kernels of convolutions and of their gradients share.
#pragma once

#include "bind/contraction.h"
#include "bind/integer_weights.h"

namespace espalier::bind {

inline bool dense_float(DType t) { return t == DType::f32 || t == DType::bf16; }

/// A node as a convolution; keeps what the specification points to, constants of the request
/// excepted.
struct ConvolutionRequest {
  Contraction contraction;
  IntegerWeights integers;
  kernels::ConvSpec spec;
  bool transposed = false;
};

/// The request as a convolution or a transposed one, or why it is none.
std::variant<ConvolutionRequest, Refuse> convolution_request(const BindRequest& request);

/// The same of a contraction around Conv or ConvTranspose.
std::variant<ConvolutionRequest, Refuse> convolution_of(Contraction contraction);

/// The layouts and absorbed operands of a kernel that serves it.
void set_channels_last(Kernel& kernel, const BindRequest& request, const Contraction& contraction);

/// Those of espalier.ConvGradInput(dy, w, shape of x).
void set_grad_input_layouts(Kernel& kernel);
/// Those of espalier.ConvGradWeight(x, dy, shape of w).
void set_grad_weight_layouts(Kernel& kernel);

/// The gradient of a convolution of x by w giving y, its element types those of the request's
/// operands; `weight_type` is that of the weight or its gradient.
std::variant<kernels::ConvGradSpec, Refuse> gradient_spec(const BindRequest& r, const Shape& x,
                                                          const Shape& w, const Shape& y,
                                                          DType weight_type);

Bound bind_generated_grad_weight(const BindRequest& r);
Bound bind_grad_weight(const BindRequest& r);
Bound bind_tiled_convolution(const BindRequest& r);

}  // namespace espalier::bind
