// Convolutions of 3x3 windows, and their gradients, by fewer multiplications.
#include "kernels/winograd.h"

#include "bind/convolution.h"
#include "bind/families.h"

namespace espalier::bind {
namespace {

const Refuse kNotFaster{"so few results are faster by the sum over taps"};

KernelPtr kernel_of(std::shared_ptr<const kernels::WinogradConv> conv, int64_t tile) {
  auto kernel =
      function_kernel(tile == 4 ? "winograd 4x4" : "winograd 2x2",
                      [conv](const KernelArgs& k) { conv->run(k.in, k.out[0], k.scratch); });
  kernel->scratch_bytes = conv->scratch_bytes();
  kernel->packed_bytes = conv->packed_bytes();
  return kernel;
}

Bound bind_winograd(const BindRequest& r) {
  const auto parsed = convolution_request(r);
  if (const auto* no = std::get_if<Refuse>(&parsed)) return *no;
  const auto& request = std::get<ConvolutionRequest>(parsed);
  if (request.transposed) return Refuse{"the convolution is transposed"};
  if (const std::string why = kernels::no_winograd(request.spec); !why.empty()) return Refuse{why};
  const int64_t tile = kernels::winograd_tile(request.spec);
  if (tile == 0) return kNotFaster;
  KernelPtr kernel = kernel_of(kernels::winograd_convolution(request.spec, tile), tile);
  set_channels_last(*kernel, r, request.contraction);
  kernel->in_place = residual_places(request.contraction);
  return kernel;
}

// espalier.ConvGradInput(dy, w, shape of x).
Bound bind_winograd_grad_input(const BindRequest& r) {
  const auto spec = gradient_spec(r, r.out_shape(0), r.in_shape(1), r.in_shape(0), r.in_dtype(1));
  if (const auto* no = std::get_if<Refuse>(&spec)) return *no;
  const auto& gradient = std::get<kernels::ConvGradSpec>(spec);
  if (const std::string why = kernels::no_winograd(gradient); !why.empty()) return Refuse{why};
  const int64_t tile = kernels::winograd_tile(gradient);
  if (tile == 0) return kNotFaster;
  KernelPtr kernel = kernel_of(kernels::winograd_grad_input(gradient, tile), tile);
  set_grad_input_layouts(*kernel);
  return kernel;
}

// espalier.ConvGradWeight(x, dy, shape of w).
Bound bind_winograd_grad_weight(const BindRequest& r) {
  const auto spec = gradient_spec(r, r.in_shape(0), r.out_shape(0), r.in_shape(1), r.out_dtype(0));
  if (const auto* no = std::get_if<Refuse>(&spec)) return *no;
  const auto& gradient = std::get<kernels::ConvGradSpec>(spec);
  if (const std::string why = kernels::no_winograd(gradient); !why.empty()) return Refuse{why};
  if (gradient.weight_type != DType::f32) return Refuse{"the gradient is not f32"};
  const int64_t tile = kernels::winograd_weight_tile(gradient);
  if (tile == 0) return kNotFaster;
  KernelPtr kernel = kernel_of(kernels::winograd_grad_weight(gradient, tile), tile);
  set_grad_weight_layouts(*kernel);
  return kernel;
}

}  // namespace

Entries winograd_entries() {
  return {{"Conv", {"winograd", bind_winograd}},
          {"espalier.Fused", {"winograd", bind_winograd}},
          {"espalier.ConvGradInput", {"winograd", bind_winograd_grad_input}},
          {"espalier.ConvGradWeight", {"winograd", bind_winograd_grad_weight}}};
}

}  // namespace espalier::bind
