// Convolutions of planes, each channel with its own window, by loops of ours.
#include "kernels/depthwise.h"

#include "bind/convolution.h"
#include "bind/families.h"

namespace espalier::bind {
namespace {

Bound bind_depthwise(const BindRequest& r) {
  const auto parsed = convolution_request(r);
  if (const auto* no = std::get_if<Refuse>(&parsed)) return *no;
  const auto& request = std::get<ConvolutionRequest>(parsed);
  if (request.transposed) return Refuse{"the convolution is transposed"};
  if (const std::string why = kernels::no_depthwise(request.spec); !why.empty()) return Refuse{why};
  const auto conv = std::make_shared<const kernels::DepthwiseConv>(request.spec);
  KernelPtr kernel = function_kernel(
      "depthwise", [conv](const KernelArgs& k) { conv->run(k.in, k.out[0], k.scratch); });
  kernel->scratch_bytes = conv->scratch_bytes();
  kernel->packed_bytes = conv->packed_bytes();
  set_channels_last(*kernel, r, request.contraction);
  return kernel;
}

}  // namespace

Entries depthwise_entries() {
  return {{"Conv", {"depthwise", bind_depthwise}},
          {"espalier.Fused", {"depthwise", bind_depthwise}}};
}

}  // namespace espalier::bind
