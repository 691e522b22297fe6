// espalier.ConvGradWeight(x, dy, shape of w) by generated code.
#include "kernels/jit/generated_grad_weight.h"

#include "bind/convolution.h"
#include "kernels/simd.h"

namespace espalier::bind {

Bound bind_generated_grad_weight(const BindRequest& r) {
  const auto spec = gradient_spec(r, r.in_shape(0), r.out_shape(0), r.in_shape(1), r.out_dtype(0));
  if (const auto* no = std::get_if<Refuse>(&spec)) return *no;
  const auto& gradient = std::get<kernels::ConvGradSpec>(spec);
  if (const std::string why = kernels::no_generated_grad_weight(gradient); !why.empty())
    return Refuse{why};
  if (!kernels::generated_grad_weight_pays(gradient))
    return Refuse{"too few multiplications for what would be copied"};
  if (gradient.type == DType::bf16 && kernels::has_matrix_tiles())
    return Refuse{"oneDNN's kernels multiply tiles of bf16 here"};
  const auto generated = kernels::generate_grad_weight(gradient);
  auto kernel = function_kernel(
      "jit.conv_grad_weight " + generated->text(),
      [generated](const KernelArgs& k) { generated->run(k.in, k.out[0], k.scratch); });
  kernel->scratch_bytes = generated->scratch_bytes();
  set_grad_weight_layouts(*kernel);
  return kernel;
}

}  // namespace espalier::bind
