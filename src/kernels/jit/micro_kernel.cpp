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
         b_stride == o.b_stride && c_stride == o.c_stride && bias == o.bias && scale == o.scale &&
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

#if defined(__x86_64__)
namespace {

using namespace Xbyak::util;  // registers
using Xbyak::Zmm;

class GeneratedTile final : public MicroKernel, private Xbyak::CodeGenerator {
 public:
  explicit GeneratedTile(const MicroKernelSpec& spec)
      : Xbyak::CodeGenerator(kCodeBytes, Xbyak::AutoGrow), s_(spec) {
    ESP_CHECK(tile_fits(s_.rows, s_.vectors), "a tile of sums fits the registers");
    generate();
    ready(PROTECT_RE);
    bytes_ = getSize();
    run_ = getCode<void (*)(const MicroKernelArgs*)>();
  }

 private:
  static constexpr size_t kCodeBytes = 4096;

  // Sums first, then the row of b, then whatever is left.
  Zmm sum(int row, int vector) const { return Zmm(row * s_.vectors + vector); }
  Zmm b_vector(int vector) const { return Zmm(s_.rows * s_.vectors + vector); }
  Zmm spare() const { return Zmm(31); }
  bool narrow(int vector) const { return vector == s_.vectors - 1 && s_.last_lanes < kGemmLanes; }
  int a_step() const { return int(sizeof(float)) * (s_.a_stride == 0 ? s_.rows : 1); }
  int b_step() const {
    return int(s_.b_stride == 0 ? s_.vectors * kGemmLanes : s_.b_stride) * int(sizeof(float));
  }

  template <class F>
  void each_sum(const F& f) {
    for (int i = 0; i < s_.rows; ++i)
      for (int j = 0; j < s_.vectors; ++j) f(i, j);
  }

  /// Where element (row, first lane of vector) lies from a base with c's stride.
  Xbyak::Address at(const Xbyak::Reg64& base, int row, int vector) {
    return ptr[base + size_t(row * s_.c_stride + vector * kGemmLanes) * sizeof(float)];
  }

  void generate() {
    mov(a_, arg(offsetof(MicroKernelArgs, a)));
    mov(b_, arg(offsetof(MicroKernelArgs, b)));
    mov(c_, arg(offsetof(MicroKernelArgs, c)));
    mov(k_, arg(offsetof(MicroKernelArgs, k)));
    if (s_.last_lanes < kGemmLanes) {
      mov(eax, (1 << s_.last_lanes) - 1);
      kmovw(k1, eax);
    }
    start_sums();
    loop();
    finish();
    vzeroupper();
    ret();
  }

  void start_sums() {
    Xbyak::Label fresh, done;
    cmp(qword[args_ + offsetof(MicroKernelArgs, first)], 0);
    jne(fresh, T_NEAR);
    each_sum([&](int i, int j) {
      if (narrow(j))
        vmovups(sum(i, j) | k1 | T_z, at(c_, i, j));
      else
        vmovups(sum(i, j), at(c_, i, j));
    });
    jmp(done, T_NEAR);
    L(fresh);
    each_sum([&](int i, int j) { vpxord(sum(i, j), sum(i, j), sum(i, j)); });
    L(done);
  }

  // sums += a[:, k] b[k, :]
  void step(int k) {
    for (int j = 0; j < s_.vectors; ++j) {
      const auto row = ptr[b_ + k * b_step() + j * 64];
      if (narrow(j) && s_.b_stride != 0)
        vmovups(b_vector(j) | k1 | T_z, row);
      else
        vmovups(b_vector(j), row);
      if (s_.prefetch > 0) prefetcht0(ptr[b_ + (k + s_.prefetch) * b_step() + j * 64]);
    }
    const int64_t stride = s_.a_stride == 0 ? 1 : s_.a_stride;
    for (int i = 0; i < s_.rows; ++i) {
      const auto place = a_ + size_t(k * a_step() + i * stride * int64_t(sizeof(float)));
      if (s_.vectors == 1) {
        vfmadd231ps(sum(i, 0), b_vector(0), ptr_b[place]);
        continue;
      }
      vbroadcastss(spare(), ptr[place]);
      for (int j = 0; j < s_.vectors; ++j) vfmadd231ps(sum(i, j), b_vector(j), spare());
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
    Xbyak::Label plain, store;
    cmp(qword[args_ + offsetof(MicroKernelArgs, last)], 0);
    je(plain, T_NEAR);
    if (s_.bias) {
      mov(rax, arg(offsetof(MicroKernelArgs, bias)));
      for (int j = 0; j < s_.vectors; ++j) {
        vmovups(b_vector(0), ptr[rax + j * 64]);
        for (int i = 0; i < s_.rows; ++i) vaddps(sum(i, j), sum(i, j), b_vector(0));
      }
    }
    if (s_.scale != 1) {
      number(b_vector(0), s_.scale);
      each_sum([&](int i, int j) { vmulps(sum(i, j), sum(i, j), b_vector(0)); });
    }
    for (const EpilogueStep& step : s_.steps) apply(step);
    L(plain);
    each_sum([&](int i, int j) {
      if (narrow(j))
        vmovups(at(c_, i, j) | k1, sum(i, j));
      else
        vmovups(at(c_, i, j), sum(i, j));
    });
  }

  void number(const Zmm& to, float value) {
    mov(eax, std::bit_cast<uint32_t>(value));
    vpbroadcastd(to, eax);
  }

  void apply(const EpilogueStep& step) {
    // Past the loop, the registers of b are free: one at least, two where there is a spare one.
    const Zmm p = b_vector(0);
    if (step.kind == EpilogueStep::Kind::kResidual) {
      mov(r_, arg(offsetof(MicroKernelArgs, residual)));
      if (step.scale == 1) {
        each_sum([&](int i, int j) {
          const Zmm masked = narrow(j) ? sum(i, j) | k1 : sum(i, j);
          vaddps(masked, sum(i, j), at(r_, i, j));
        });
        return;
      }
      number(p, step.scale);
      each_sum([&](int i, int j) {
        const Zmm masked = narrow(j) ? sum(i, j) | k1 : sum(i, j);
        vfmadd231ps(masked, p, at(r_, i, j));
      });
      return;
    }
    // Of two numbers one of which is NaN, vmaxps and vminps give the second: NaN stays.
    const auto all = [&](const auto& f) { each_sum([&](int i, int j) { f(sum(i, j)); }); };
    switch (step.op.code) {
      case ScalarCode::kRelu: vpxord(p, p, p); return all([&](const Zmm& x) { vmaxps(x, p, x); });
      case ScalarCode::kClip:
        number(p, step.op.p0);
        all([&](const Zmm& x) { vmaxps(x, p, x); });
        number(p, step.op.p1);
        return all([&](const Zmm& x) { vminps(x, p, x); });
      case ScalarCode::kLeakyRelu:
        number(p, step.op.p0);
        return all([&](const Zmm& x) {
          vpmovd2m(k2, x);  // those below zero
          vmulps(x | k2, x, p);
        });
      case ScalarCode::kNeg:
        mov(eax, 0x80000000u);
        vpbroadcastd(p, eax);
        return all([&](const Zmm& x) { vpxord(x, x, p); });
      case ScalarCode::kAbs:
        mov(eax, 0x7fffffffu);
        vpbroadcastd(p, eax);
        return all([&](const Zmm& x) { vpandd(x, x, p); });
      case ScalarCode::kAffine:
        number(p, step.op.p0);
        all([&](const Zmm& x) { vmulps(x, x, p); });
        number(p, step.op.p1);
        return all([&](const Zmm& x) { vaddps(x, x, p); });
      default: return;  // the identity
    }
  }

  Xbyak::Address arg(size_t offset) { return ptr[args_ + offset]; }

  const Xbyak::Reg64 args_ = rdi, a_ = rsi, b_ = rdx, c_ = rcx, k_ = r8, r_ = r9;
  const MicroKernelSpec s_;
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
  if (!std::string_view(instruction_set()).starts_with("AVX3") ||
      !Xbyak::util::Cpu().has(Xbyak::util::Cpu::tAVX512F) ||
      !Xbyak::util::Cpu().has(Xbyak::util::Cpu::tAVX512DQ))
    return "code is generated for AVX-512, which is not to be used here";
  try {
    GeneratedTile probe({});
  } catch (const Xbyak::Error& e) {
    return std::string("generated code may not run here (") + e.what() + ")";
  }
  return "";
}

}  // namespace

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

const std::string& no_generated_kernels() {
  static const std::string why = "code is generated for x86 with AVX-512 only";
  return why;
}
std::shared_ptr<const MicroKernel> micro_kernel(const MicroKernelSpec&) {
  ESP_CHECK(false, no_generated_kernels());
  return nullptr;
}

#endif

}  // namespace espalier::kernels
