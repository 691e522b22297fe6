#include "kernels/jit/micro_kernel.h"

#include <algorithm>
#include <mutex>
#include <string_view>

#include "base/error.h"
#include "kernels/primitive.h"
#include "kernels/simd.h"
#include "kernels/vnni.h"

#if defined(__x86_64__)
#include <xbyak/xbyak_util.h>

#include "kernels/jit/generated_tile.h"
#endif

namespace espalier::kernels {

namespace {

bool same_step(const EpilogueStep& a, const EpilogueStep& b) {
  // Which operand a residual comes from is the caller's affair.
  return a.kind == b.kind && (a.kind == EpilogueStep::Kind::kScalar
                                  ? a.op == b.op
                                  : a.scale == b.scale && a.residual_type == b.residual_type);
}

}  // namespace

bool MicroKernelSpec::operator==(const MicroKernelSpec& o) const {
  return integers == o.integers && bf16 == o.bf16 && windows == o.windows && y_type == o.y_type &&
         column_scales == o.column_scales && largest == o.largest && rows == o.rows &&
         vectors == o.vectors && last_lanes == o.last_lanes && unroll == o.unroll &&
         prefetch == o.prefetch && a_stride == o.a_stride && packed_rows == o.packed_rows &&
         b_stride == o.b_stride && c_stride == o.c_stride && residual_stride == o.residual_stride &&
         bias == o.bias && scale == o.scale &&
         std::equal(steps.begin(), steps.end(), o.steps.begin(), o.steps.end(), same_step);
}

bool inlined(const EpilogueStep& step, bool integers) {
  if (step.kind == EpilogueStep::Kind::kResidual) {
    const DType type = step.residual_type;
    return type == DType::f32 || (integers && (type == DType::u8 || type == DType::i8));
  }
  switch (step.op.code) {
    case ScalarCode::kIdentity:
    case ScalarCode::kNeg:
    case ScalarCode::kAbs:
    case ScalarCode::kRelu:
    case ScalarCode::kLeakyRelu:
    case ScalarCode::kClip:
    case ScalarCode::kAffine: return true;
    default: return false;
  }
}

bool tile_fits(int rows, int vectors, bool integers) {
  if (rows < 1 || vectors < 1) return false;
  const VectorRegisters& r = vector_registers();
  const int columns = vectors * r.per_vector();
  const int number_of_a = columns > 1 ? 1 : 0, mask = r.lanes < kGemmLanes ? 1 : 0;
  const int aside = integers ? 2 : number_of_a + mask;
  return rows * columns + columns + aside <= r.count;
}

RegisterTile busy_tile() {
  return vector_registers().count == kMostRegisters ? RegisterTile{14, 2} : RegisterTile{6, 1};
}

bool multiplies_bf16() {
  return no_generated_kernels().empty() && vector_registers().lanes == kGemmLanes && has_vnni() &&
         has_bf16();
}

#if defined(__x86_64__)
namespace {

bool has_avx512() {
  static const bool has = std::string_view(instruction_set()).starts_with("AVX3") &&
                          Xbyak::util::Cpu().has(Xbyak::util::Cpu::tAVX512F) &&
                          Xbyak::util::Cpu().has(Xbyak::util::Cpu::tAVX512BW) &&
                          Xbyak::util::Cpu().has(Xbyak::util::Cpu::tAVX512DQ);
  return has;
}

bool has_avx2() {
  return instruction_set() == std::string_view("AVX2") &&
         Xbyak::util::Cpu().has(Xbyak::util::Cpu::tFMA);
}

struct Held {
  MicroKernelSpec spec;
  std::weak_ptr<const MicroKernel> kernel;
};
struct Shelf {
  std::mutex mutex;
  std::vector<Held> held;
};
Shelf& shelf() {
  static Shelf* const shelf = new Shelf;  // programs may outlive statics
  return *shelf;
}

std::string reason() {
  limit_instruction_set();
  if (!has_avx512() && !has_avx2())
    return "code is generated for AVX-512 and AVX2, neither of which is to be used here";
  try {
    GeneratedTile probe({});
  } catch (const Xbyak::Error& e) {
    return std::string("generated code may not run here (") + e.what() + ")";
  }
  return "";
}

}  // namespace

const VectorRegisters& vector_registers() {
  static const VectorRegisters registers =
      has_avx512() ? VectorRegisters{} : VectorRegisters{.count = 16, .lanes = 8};
  return registers;
}

const std::string& no_generated_kernels() {
  static const std::string why = reason();
  return why;
}

std::shared_ptr<const MicroKernel> micro_kernel(const MicroKernelSpec& spec) {
  const std::lock_guard lock(shelf().mutex);
  auto& held = shelf().held;
  std::erase_if(held, [](const Held& h) { return h.kernel.expired(); });
  for (const Held& h : held)
    if (h.spec == spec)
      if (auto kernel = h.kernel.lock()) return kernel;
  auto kernel = std::make_shared<const GeneratedTile>(spec);
  held.push_back({spec, kernel});
  return kernel;
}

#else  // other processors

const VectorRegisters& vector_registers() {
  static const VectorRegisters registers;
  return registers;
}
const std::string& no_generated_kernels() {
  static const std::string why = "code is generated for x86 only";
  return why;
}
std::shared_ptr<const MicroKernel> micro_kernel(const MicroKernelSpec&) {
  ESP_CHECK(false, no_generated_kernels());
  return nullptr;
}

#endif

}  // namespace espalier::kernels
