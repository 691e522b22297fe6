// Products and convolutions of 8-bit regions by generated code, where oneDNN's sums of integers
// would not be exact.
#include "bind/convolution.h"
#include "bind/families.h"
#include "bind/matmul.h"
#include "kernels/jit/generated_integers.h"
#include "kernels/jit/micro_kernel.h"

namespace espalier::bind {
namespace {

/// Why no region is served here.
std::optional<Refuse> not_here() {
  if (const std::string& why = kernels::no_generated_kernels(); !why.empty()) return Refuse{why};
  if (!kernels::integer_sums_saturate())
    return Refuse{"this machine has instructions for 8-bit integers"};
  return std::nullopt;
}

template <class Spec>
Bound generated(const std::string& family, const Spec& spec, const Contraction& c) {
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
  Bound bound = generated("jit.int8_conv", request.spec, request.contraction);
  if (auto* kernel = std::get_if<KernelPtr>(&bound))
    set_channels_last(**kernel, r, request.contraction);
  return bound;
}

}  // namespace

Entries integer_product_entries() {
  return {{"espalier.Fused", {"jit.int8_conv", bind_integer_convolution}},
          {"espalier.Fused", {"jit.int8_matmul", bind_integer_matmul}}};
}

}  // namespace espalier::bind
