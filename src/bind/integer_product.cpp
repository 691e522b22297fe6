// Products and convolutions of 8-bit regions by generated code, where oneDNN's sums of integers
// would not be exact.
#include "bind/convolution.h"
#include "bind/families.h"
#include "bind/matmul.h"
#include "kernels/depthwise_integers.h"
#include "kernels/jit/generated_integers.h"
#include "kernels/jit/micro_kernel.h"
#include "kernels/winograd.h"

namespace espalier::bind {
namespace {

/// Why no region is served here.
std::optional<Refuse> not_here() {
  if (!kernels::integer_sums_saturate())
    return Refuse{"this machine has instructions for 8-bit integers"};
  return std::nullopt;
}

/// f32 would take so few multiplications that integers are no faster: a quarter, by tiles of 4x4
/// results. By those of 2x2 it takes 1.0 to 1.1 times as long as integers inside ResNet-18.
bool faster_in_f32(kernels::ConvSpec s) {
  s.x_type = s.y_type = s.weight.type = DType::f32;
  s.epilogue = {};
  return kernels::no_winograd(s).empty() && kernels::winograd_tile(s) == 4;
}

template <class Spec>
Bound generated(const std::string& family, const Spec& spec, const Contraction& c) {
  if (const std::string& why = kernels::no_generated_kernels(); !why.empty()) return Refuse{why};
  if (!c.integer()) return Refuse{"the region is not quantised"};
  const auto asked = kernels::integer_contraction(spec);
  if (const auto* no = std::get_if<std::string>(&asked)) return Refuse{*no};
  const auto made = kernels::generate_integers(std::get<kernels::IntegerContraction>(asked));
  auto kernel = function_kernel(family + " " + made->text(), [made](const KernelArgs& args) {
    made->run(args.in, args.out[0], args.scratch);
  });
  kernel->scratch_bytes = made->scratch_bytes();
  kernel->packed_bytes = made->packed_bytes();
  kernel->in_place = residual_places(c);
  return kernel;
}

Bound bind_integer_matmul(const BindRequest& r) {
  if (auto no = not_here()) return *no;
  const auto parsed = matmul_request(r);
  if (const auto* no = std::get_if<Refuse>(&parsed)) return *no;
  const auto& request = std::get<MatmulRequest>(parsed);
  Bound bound = generated("jit.int8_matmul", request.spec, request.contraction);
  if (auto* kernel = std::get_if<KernelPtr>(&bound)) (*kernel)->absorbed = constant_operands(r);
  return bound;
}

Bound bind_integer_convolution(const BindRequest& r) {
  if (auto no = not_here()) return *no;
  const auto parsed = convolution_request(r);
  if (const auto* no = std::get_if<Refuse>(&parsed)) return *no;
  const auto& request = std::get<ConvolutionRequest>(parsed);
  if (request.transposed) return Refuse{"the convolution is transposed"};
  if (faster_in_f32(request.spec)) return Refuse{"f32 takes fewer multiplications"};
  Bound bound = generated("jit.int8_conv", request.spec, request.contraction);
  if (auto* kernel = std::get_if<KernelPtr>(&bound))
    set_channels_last(**kernel, r, request.contraction);
  return bound;
}

Bound bind_depthwise(const BindRequest& r) {
  if (auto no = not_here()) return *no;
  const auto parsed = convolution_request(r);
  if (const auto* no = std::get_if<Refuse>(&parsed)) return *no;
  const auto& request = std::get<ConvolutionRequest>(parsed);
  if (request.transposed || !request.contraction.integer())
    return Refuse{"it is no convolution of integers"};
  if (const char* why = kernels::depthwise_integers_refusal(request.spec)) return Refuse{why};
  const auto made = std::make_shared<const kernels::DepthwiseIntegers>(request.spec);
  const size_t x = request.spec.x_operand;
  auto kernel = function_kernel("int8_depthwise f32", [made, x](const KernelArgs& args) {
    made->run(args.in[x], args.out[0], args.scratch);
  });
  kernel->scratch_bytes = made->scratch_bytes();
  kernel->packed_bytes = made->packed_bytes();
  set_channels_last(*kernel, r, request.contraction);
  return kernel;
}

}  // namespace

Entries integer_product_entries() {
  return {{"espalier.Fused", {"jit.int8_conv", bind_integer_convolution}},
          {"espalier.Fused", {"int8_depthwise f32", bind_depthwise}},
          {"espalier.Fused", {"jit.int8_matmul", bind_integer_matmul}}};
}

}  // namespace espalier::bind
