#include "kernels/jit/micro_kernel.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <mutex>
#include <string_view>

#include "base/error.h"
#include "kernels/simd.h"

#if defined(__x86_64__)
#include <xbyak/xbyak.h>
#include <xbyak/xbyak_util.h>
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
  return rows == o.rows && vectors == o.vectors && last_lanes == o.last_lanes &&
         unroll == o.unroll && prefetch == o.prefetch && a_stride == o.a_stride &&
         packed_rows == o.packed_rows && b_stride == o.b_stride && c_stride == o.c_stride &&
         bias == o.bias && scale == o.scale &&
         std::equal(steps.begin(), steps.end(), o.steps.begin(), o.steps.end(), same_step);
}

bool inlined(const EpilogueStep& step) {
  if (step.kind == EpilogueStep::Kind::kResidual) return step.residual_type == DType::f32;
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

bool tile_fits(int rows, int vectors) {
  if (rows < 1 || vectors < 1) return false;
  const VectorRegisters& r = vector_registers();
  const int columns = vectors * r.per_vector();
  const int number_of_a = columns > 1 ? 1 : 0, mask = r.lanes < kGemmLanes ? 1 : 0;
  return rows * columns + columns + number_of_a + mask <= r.count;
}

RegisterTile busy_tile() {
  return vector_registers().count == kMostRegisters ? RegisterTile{14, 2} : RegisterTile{6, 1};
}

#if defined(__x86_64__)
namespace {

using namespace Xbyak::util;  // registers
using Xbyak::Xmm;

bool has_avx512() {
  static const bool has = std::string_view(instruction_set()).starts_with("AVX3") &&
                          Xbyak::util::Cpu().has(Xbyak::util::Cpu::tAVX512F) &&
                          Xbyak::util::Cpu().has(Xbyak::util::Cpu::tAVX512DQ);
  return has;
}

bool has_avx2() {
  return instruction_set() == std::string_view("AVX2") &&
         Xbyak::util::Cpu().has(Xbyak::util::Cpu::tFMA);
}

/// Read from `lanes` on: as many words that select as there are columns, then others.
alignas(32) constexpr int32_t kSelect[16] = {-1, -1, -1, -1, -1, -1, -1, -1};

/// A tile's columns are held in registers side by side. The last of them may be narrow: then a
/// mask says which columns there are, k1 with AVX-512 and a register with AVX2.
class GeneratedTile final : public MicroKernel, private Xbyak::CodeGenerator {
 public:
  explicit GeneratedTile(const MicroKernelSpec& spec)
      : Xbyak::CodeGenerator(kCodeBytes, Xbyak::AutoGrow),
        s_(spec),
        columns_((s_.vectors - 1) * kGemmLanes + s_.last_lanes),
        across_((columns_ + lanes_ - 1) / lanes_) {
    ESP_CHECK(tile_fits(s_.rows, s_.vectors), "a tile of sums fits the registers");
    generate();
    ready(PROTECT_RE);
    bytes_ = getSize();
    run_ = getCode<void (*)(const MicroKernelArgs*)>();
  }

 private:
  static constexpr size_t kCodeBytes = 4096;

  Xmm vector(int index) const {
    return Xmm(wide_ ? Xbyak::Operand::ZMM : Xbyak::Operand::YMM, index);
  }
  // Sums first, then the row of b, then whatever is left.
  Xmm sum(int row, int column) const { return vector(row * across_ + column); }
  Xmm b_vector(int column) const { return vector(s_.rows * across_ + column); }
  Xmm spare() const { return vector(wide_ ? 31 : 14); }
  Xmm mask() const { return vector(15); }  // of AVX2
  int last() const { return columns_ - (across_ - 1) * lanes_; }
  bool narrow(int column) const { return column == across_ - 1 && last() < lanes_; }
  int64_t bytes_at(int column) const { return int64_t{column} * lanes_ * int64_t(sizeof(float)); }
  int a_step() const {
    const int packed = s_.packed_rows > 0 ? s_.packed_rows : s_.rows;
    return int(sizeof(float)) * (s_.a_stride == 0 ? packed : 1);
  }
  int b_step() const {
    return int(s_.b_stride == 0 ? s_.vectors * kGemmLanes : s_.b_stride) * int(sizeof(float));
  }

  template <class F>
  void each_sum(const F& f) {
    for (int i = 0; i < s_.rows; ++i)
      for (int j = 0; j < across_; ++j) f(i, j);
  }

  /// Where element (row, first lane of the register) lies from a base with c's stride.
  Xbyak::Address at(const Xbyak::Reg64& base, int row, int column) {
    return ptr[base + size_t(row * s_.c_stride * int64_t(sizeof(float)) + bytes_at(column))];
  }

  /// The columns there are; zero for others.
  void load(const Xmm& to, const Xbyak::Address& from, bool masked) {
    if (!masked)
      vmovups(to, from);
    else if (wide_)
      vmovups(to | k1 | T_z, from);
    else
      vmaskmovps(to, mask(), from);
  }
  void store(const Xbyak::Address& to, const Xmm& from, bool masked) {
    if (!masked)
      vmovups(to, from);
    else if (wide_)
      vmovups(to | k1, from);
    else
      vmaskmovps(to, mask(), from);
  }

  void generate() {
    mov(a_, arg(offsetof(MicroKernelArgs, a)));
    mov(b_, arg(offsetof(MicroKernelArgs, b)));
    mov(c_, arg(offsetof(MicroKernelArgs, c)));
    mov(k_, arg(offsetof(MicroKernelArgs, k)));
    if (narrow(across_ - 1)) make_mask();
    start_sums();
    loop();
    finish();
    vzeroupper();
    ret();
  }

  void make_mask() {
    if (wide_) {
      mov(eax, (1 << last()) - 1);
      kmovw(k1, eax);
    } else {
      mov(rax, size_t(kSelect + lanes_ - last()));
      vmovups(mask(), ptr[rax]);
    }
  }

  void start_sums() {
    Xbyak::Label fresh, done;
    cmp(qword[args_ + offsetof(MicroKernelArgs, first)], 0);
    jne(fresh, T_NEAR);
    each_sum([&](int i, int j) { load(sum(i, j), at(c_, i, j), narrow(j)); });
    jmp(done, T_NEAR);
    L(fresh);
    each_sum([&](int i, int j) { vxorps(sum(i, j), sum(i, j), sum(i, j)); });
    L(done);
  }

  // sums += a[:, k] b[k, :]
  void step(int k) {
    for (int j = 0; j < across_; ++j) {
      const int64_t from = k * b_step() + bytes_at(j);
      load(b_vector(j), ptr[b_ + size_t(from)], narrow(j) && s_.b_stride != 0);
      if (s_.prefetch > 0 && bytes_at(j) % 64 == 0)
        prefetcht0(ptr[b_ + size_t(from + s_.prefetch * b_step())]);
    }
    const int64_t stride = s_.a_stride == 0 ? 1 : s_.a_stride;
    for (int i = 0; i < s_.rows; ++i) {
      const auto place = a_ + size_t(k * a_step() + i * stride * int64_t(sizeof(float)));
      if (wide_ && across_ == 1) {
        vfmadd231ps(sum(i, 0), b_vector(0), ptr_b[place]);
        continue;
      }
      vbroadcastss(spare(), ptr[place]);
      for (int j = 0; j < across_; ++j) vfmadd231ps(sum(i, j), b_vector(j), spare());
    }
  }

  void loop() {
    Xbyak::Label body, rest, one, done;
    sub(k_, s_.unroll);
    jl(rest, T_NEAR);
    align(32);
    L(body);
    for (int k = 0; k < s_.unroll; ++k) step(k);
    add(a_, s_.unroll * a_step());
    add(b_, s_.unroll * b_step());
    sub(k_, s_.unroll);
    jge(body, T_NEAR);
    L(rest);
    if (s_.unroll > 1) {
      add(k_, s_.unroll);
      jz(done, T_NEAR);
      L(one);
      step(0);
      add(a_, a_step());
      add(b_, b_step());
      sub(k_, 1);
      jnz(one, T_NEAR);
    }
    L(done);
  }

  void finish() {
    Xbyak::Label plain;
    cmp(qword[args_ + offsetof(MicroKernelArgs, last)], 0);
    je(plain, T_NEAR);
    if (s_.bias) {
      mov(rax, arg(offsetof(MicroKernelArgs, bias)));
      for (int j = 0; j < across_; ++j) {
        vmovups(b_vector(0), ptr[rax + size_t(bytes_at(j))]);
        for (int i = 0; i < s_.rows; ++i) vaddps(sum(i, j), sum(i, j), b_vector(0));
      }
    }
    if (s_.scale != 1) {
      number(b_vector(0), s_.scale);
      each_sum([&](int i, int j) { vmulps(sum(i, j), sum(i, j), b_vector(0)); });
    }
    for (const EpilogueStep& step : s_.steps) apply(step);
    L(plain);
    each_sum([&](int i, int j) { store(at(c_, i, j), sum(i, j), narrow(j)); });
  }

  void number(const Xmm& to, float value) { bits(to, std::bit_cast<uint32_t>(value)); }
  void bits(const Xmm& to, uint32_t value) {
    mov(eax, value);
    if (wide_) {
      vpbroadcastd(to, eax);
    } else {
      vmovd(Xmm(to.getIdx()), eax);
      vbroadcastss(to, Xmm(to.getIdx()));
    }
  }

  void add_residual(float scale) {
    mov(r_, arg(offsetof(MicroKernelArgs, residual)));
    const Xmm factor = b_vector(0);
    if (scale != 1) number(factor, scale);
    each_sum([&](int i, int j) {
      // An operand in memory is read whole where no mask of AVX-512 forbids it.
      const bool aside = narrow(j) && !wide_;
      if (aside) load(spare(), at(r_, i, j), true);
      const Xmm to = narrow(j) && wide_ ? sum(i, j) | k1 : sum(i, j);
      const Xbyak::Address place = at(r_, i, j);
      const Xmm beside = spare();
      const Xbyak::Operand& from = aside ? static_cast<const Xbyak::Operand&>(beside)
                                         : static_cast<const Xbyak::Operand&>(place);
      if (scale == 1)
        vaddps(to, sum(i, j), from);
      else
        vfmadd231ps(to, factor, from);
    });
  }

  void apply(const EpilogueStep& step) {
    if (step.kind == EpilogueStep::Kind::kResidual) return add_residual(step.scale);
    // Past the loop, the registers of b and of a number of a are free.
    const Xmm p = b_vector(0);
    // Of two numbers one of which is NaN, vmaxps and vminps give the second: NaN stays.
    const auto all = [&](const auto& f) { each_sum([&](int i, int j) { f(sum(i, j)); }); };
    switch (step.op.code) {
      case ScalarCode::kRelu: vxorps(p, p, p); return all([&](const Xmm& x) { vmaxps(x, p, x); });
      case ScalarCode::kClip:
        number(p, step.op.p0);
        all([&](const Xmm& x) { vmaxps(x, p, x); });
        number(p, step.op.p1);
        return all([&](const Xmm& x) { vminps(x, p, x); });
      case ScalarCode::kLeakyRelu:
        number(p, step.op.p0);
        return all([&](const Xmm& x) {  // those whose sign is set
          if (wide_) {
            vpmovd2m(k2, x);
            vmulps(x | k2, x, p);
          } else {
            vmulps(spare(), x, p);
            vblendvps(x, x, spare(), x);
          }
        });
      case ScalarCode::kNeg:
        bits(p, 0x80000000u);
        return all([&](const Xmm& x) { vxorps(x, x, p); });
      case ScalarCode::kAbs:
        bits(p, 0x7fffffffu);
        return all([&](const Xmm& x) { vandps(x, x, p); });
      case ScalarCode::kAffine:
        number(p, step.op.p0);
        all([&](const Xmm& x) { vmulps(x, x, p); });
        number(p, step.op.p1);
        return all([&](const Xmm& x) { vaddps(x, x, p); });
      default: return;  // the identity
    }
  }

  Xbyak::Address arg(size_t offset) { return ptr[args_ + offset]; }

  const Xbyak::Reg64 args_ = rdi, a_ = rsi, b_ = rdx, c_ = rcx, k_ = r8, r_ = r9;
  const MicroKernelSpec s_;
  const bool wide_ = vector_registers().lanes == kGemmLanes;
  const int lanes_ = vector_registers().lanes;
  const int columns_, across_;  ///< of the tile: numbers, and registers
};

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
