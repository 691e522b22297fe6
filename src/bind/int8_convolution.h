// What our own convolutions of 8-bit regions share.
#pragma once

#include <functional>
#include <string>
#include <variant>

#include "bind/contraction.h"
#include "kernels/int8_conv.h"

namespace espalier::bind {

struct Int8ConvolutionRequest {
  Contraction contraction;  ///< keeps the weights alive
  kernels::Int8ConvSpec spec;
  int64_t groups = 1;
  int x = 0, residual = -1;  ///< operands of the request; -1: none
};

/// The request as a convolution that these kernels can compute if it has the groups they want, or
/// why it is none.
std::variant<Int8ConvolutionRequest, Refuse> int8_convolution_request(const BindRequest& request);

/// A kernel with activations channels-last and all constants absorbed.
KernelPtr int8_convolution_kernel(std::string name, std::function<void(const KernelArgs&)> run,
                                  const BindRequest& request,
                                  const Int8ConvolutionRequest& convolution);

}  // namespace espalier::bind
