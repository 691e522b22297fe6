// Our own depthwise convolution for 8-bit regions.
#include "kernels/int8_depthwise.h"

#include "bind/families.h"
#include "bind/int8_convolution.h"

namespace espalier::bind {
namespace {

/// Why oneDNN's kernel is as fast or faster; null if it is not. Measured on Zen 4 for 16 to 1152
/// channels: what is left is 1.15 to 3.7 times as fast.
const char* no_gain(const kernels::Int8ConvSpec& s) {
  const int64_t channels = s.x[1], rows = s.w[2], columns = s.w[3];
  const bool bytes = s.y_type != DType::f32 && !s.residual;
  if (rows < 3 || columns < 3) return "its window is so small that oneDNN is as fast";
  if (!bytes && channels < 32) return "for so few channels oneDNN's other results are as fast";
  const bool slides = columns == 3 && s.dilations[1] == 1 && s.strides[1] <= 2;
  if (!slides && rows * columns < 16 && (!bytes || channels % 32 != 0))
    return "its window shares so little with the next that oneDNN is as fast";
  return nullptr;
}

Bound bind_int8_depthwise(const BindRequest& r) {
  auto parsed = int8_convolution_request(r);
  if (auto* no = std::get_if<Refuse>(&parsed)) return *no;
  const auto& request = std::get<Int8ConvolutionRequest>(parsed);
  const kernels::Int8ConvSpec& s = request.spec;
  if (request.groups != s.x[1] || s.x[1] == 1) return Refuse{"the convolution is not depthwise"};
  if (const char* why = kernels::int8_depthwise_refusal(s)) return Refuse{why};
  if (const char* why = no_gain(s)) return Refuse{why};
  auto conv = std::make_shared<const kernels::Int8Depthwise>(s);
  const int x = request.x, residual = request.residual;
  auto kernel = int8_convolution_kernel(
      "int8_depthwise avx512_vnni",
      [conv, x, residual](const KernelArgs& k) {
        conv->run(k.in[x], residual >= 0 ? k.in[residual] : nullptr, k.out[0]);
      },
      r, request);
  kernel->packed_bytes = conv->packed_bytes();
  return kernel;
}

}  // namespace

Entries int8_depthwise_entries() {
  return {{"espalier.Fused", {"int8_depthwise", bind_int8_depthwise}}};
}

}  // namespace espalier::bind
