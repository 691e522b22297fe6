// Matrix products by generated code, where measuring chose it or nothing else is near its speed;
// convolutions of one pixel among them, which are products of all pixels, channels last, and the
// weight.
#include <algorithm>

#include "base/threads.h"
#include "bind/convolution.h"
#include "bind/families.h"
#include "bind/matmul.h"
#include "kernels/jit/micro_kernel.h"
#include "kernels/jit/space.h"

namespace espalier::bind {
namespace {

/// The kernel for what the specification says, its operands and layouts still to be declared.
Bound generated(const std::string& family, const kernels::MatmulSpec& spec, const Contraction& c,
                const KernelChoices* choices) {
  auto problem = kernels::gemm_problem(spec);
  if (const auto* no = std::get_if<std::string>(&problem)) return Refuse{*no};
  auto& asked = std::get<kernels::GemmProblem>(problem);
  asked.convolution = c.room->full_name() == "Conv";
  const auto tile =
      choices ? choices->tile_for(asked) : kernels::unmeasured_tile(asked, num_threads());
  if (!tile) return Refuse{"it was not measured to be faster here"};
  const auto gemm = kernels::generate_gemm(spec, *tile);
  auto kernel = function_kernel(family + " " + tile->text(), [gemm](const KernelArgs& args) {
    gemm->run(args.in, args.write<float>(0), args.scratch);
  });
  if (gemm->residual_in_place()) kernel->in_place = residual_places(c);
  kernel->scratch_bytes = gemm->scratch_bytes();
  kernel->packed_bytes = gemm->packed_bytes();
  return kernel;
}

Bound bind_generated_matmul(const BindRequest& r) {
  if (const std::string& why = kernels::no_generated_kernels(); !why.empty()) return Refuse{why};
  const auto parsed = matmul_request(r);
  if (const auto* no = std::get_if<Refuse>(&parsed)) return *no;
  const auto& request = std::get<MatmulRequest>(parsed);
  Bound bound = generated("jit.matmul", request.spec, request.contraction, r.choices);
  if (auto* kernel = std::get_if<KernelPtr>(&bound)) (*kernel)->absorbed = constant_operands(r);
  return bound;
}

/// Every pixel of the result is read from one pixel.
bool reads_one_pixel(const kernels::ConvSpec& s) {
  const auto all = [](const std::vector<int64_t>& v, int64_t value) {
    return std::all_of(v.begin(), v.end(), [&](int64_t x) { return x == value; });
  };
  const kernels::ConvGeometry& g = s.geometry;
  return all(Shape(s.weight.shape.begin() + 2, s.weight.shape.end()), 1) && all(g.strides, 1) &&
         all(g.pads_begin, 0) && all(g.pads_end, 0) && g.groups == 1;
}

/// [pixels, I] times the transpose of the weight [O, I].
kernels::MatmulSpec product_of_pixels(const kernels::ConvSpec& s) {
  const int64_t in = s.x[1], out = s.y[1], pixels = numel(s.y) / out;
  kernels::MatmulSpec m;
  m.a_type = s.x_type;
  m.b_type = s.weight.type;
  m.y_type = s.y_type;
  m.a = {pixels, in};
  m.b = {in, out};
  m.y = {pixels, out};
  m.a_strides = {in, 1};
  m.b_strides = {1, in};
  m.b_constant = s.weight.constant;
  m.a_operand = s.x_operand;
  m.b_operand = s.weight.operand;
  if (s.bias) {
    m.bias = s.bias;
    m.bias->shape = {1, out};
  }
  m.epilogue = s.epilogue;
  return m;
}

Bound bind_generated_convolution(const BindRequest& r) {
  if (const std::string& why = kernels::no_generated_kernels(); !why.empty()) return Refuse{why};
  const auto parsed = convolution_request(r);
  if (const auto* no = std::get_if<Refuse>(&parsed)) return *no;
  const auto& [contraction, integers, spec, transposed] = std::get<ConvolutionRequest>(parsed);
  if (transposed || !reads_one_pixel(spec)) return Refuse{"its windows are more than a pixel"};
  if (!spec.weight.constant) return Refuse{"the weight is not known at compile time"};
  Bound bound = generated("jit.conv", product_of_pixels(spec), contraction, r.choices);
  if (auto* kernel = std::get_if<KernelPtr>(&bound)) set_channels_last(**kernel, r, contraction);
  return bound;
}

}  // namespace

Entries generated_product_entries() {
  const Candidate matmul{"jit.matmul", bind_generated_matmul};
  const Candidate convolution{"jit.conv", bind_generated_convolution};
  return {{"MatMul", matmul},
          {"Gemm", matmul},
          {"Conv", convolution},
          {"espalier.Fused", convolution},
          {"espalier.Fused", matmul}};
}

}  // namespace espalier::bind
