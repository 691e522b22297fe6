// Matrix products by generated code, where measuring chose it.
#include "bind/families.h"
#include "bind/matmul.h"
#include "kernels/jit/micro_kernel.h"

namespace espalier::bind {
namespace {

Bound bind_generated_matmul(const BindRequest& r) {
  if (!r.choices) return Refuse{"nothing was chosen by measuring"};
  if (const std::string& why = kernels::no_generated_kernels(); !why.empty()) return Refuse{why};
  const auto parsed = matmul_request(r);
  if (const auto* no = std::get_if<Refuse>(&parsed)) return *no;
  const MatmulRequest& request = std::get<MatmulRequest>(parsed);
  const auto problem = kernels::gemm_problem(request.spec);
  if (const auto* no = std::get_if<std::string>(&problem)) return Refuse{*no};
  const auto tile = r.choices->tile_for(std::get<kernels::GemmProblem>(problem));
  if (!tile) return Refuse{"it was not measured to be faster here"};
  const auto gemm = kernels::generate_gemm(request.spec, *tile);
  auto kernel = function_kernel("jit.matmul " + tile->text(), [gemm](const KernelArgs& args) {
    gemm->run(args.in, args.write<float>(0), args.scratch);
  });
  kernel->absorbed = constant_operands(r);
  if (gemm->residual_in_place()) kernel->in_place = residual_places(request.contraction);
  kernel->scratch_bytes = gemm->scratch_bytes();
  kernel->packed_bytes = gemm->packed_bytes();
  return kernel;
}

}  // namespace

Entries generated_matmul_entries() {
  const Candidate matmul{"jit.matmul", bind_generated_matmul};
  return {{"MatMul", matmul}, {"Gemm", matmul}, {"espalier.Fused", matmul}};
}

}  // namespace espalier::bind
