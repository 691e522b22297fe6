#if defined(__x86_64__)
#include "kernels/jit/generated_tile.h"

#include "base/error.h"

namespace espalier::kernels {
namespace {

/// Read from `lanes` on: as many words that select as there are columns, then others.
alignas(32) constexpr int32_t kSelect[16] = {-1, -1, -1, -1, -1, -1, -1, -1};

}  // namespace

GeneratedTile::GeneratedTile(const MicroKernelSpec& spec)
    : Xbyak::CodeGenerator(kCodeBytes, Xbyak::AutoGrow),
      s_(spec),
      columns_((s_.vectors - 1) * kGemmLanes + s_.last_lanes),
      across_((columns_ + lanes_ - 1) / lanes_) {
  ESP_CHECK(tile_fits(s_.rows, s_.vectors, s_.integers), "a tile of sums fits the registers");
  ESP_CHECK(
      s_.integers ? s_.b_stride == 0 && s_.a_stride > 0 : s_.y_type == DType::f32 && !s_.windows,
      "a tile of what is generated");
  ESP_CHECK(!s_.bf16 || (!s_.integers && multiplies_bf16()), "pairs of bf16 can be multiplied");
  generate();
  ready(PROTECT_RE);
  bytes_ = getSize();
  run_ = getCode<void (*)(const MicroKernelArgs*)>();
}

void GeneratedTile::load(const Xmm& to, const Xbyak::Address& from, bool masked) {
  if (!masked)
    vmovups(to, from);
  else if (wide_)
    vmovups(to | k1 | T_z, from);
  else
    vmaskmovps(to, mask(), from);
}

void GeneratedTile::store(const Xbyak::Address& to, const Xmm& from, bool masked) {
  if (!masked)
    vmovups(to, from);
  else if (wide_)
    vmovups(to | k1, from);
  else
    vmaskmovps(to, mask(), from);
}

void GeneratedTile::generate() {
  mov(a_, arg(offsetof(MicroKernelArgs, a)));
  mov(b_, arg(offsetof(MicroKernelArgs, b)));
  mov(c_, arg(offsetof(MicroKernelArgs, c)));
  const bool masked = narrow(across_ - 1);
  if (masked && !s_.integers) make_mask();
  start_sums();
  all_runs();
  // A product of integers lay where the mask does.
  if (masked && s_.integers) make_mask();
  finish();
  vzeroupper();
  ret();
}

void GeneratedTile::make_mask() {
  if (wide_) {
    mov(eax, (1 << last()) - 1);
    kmovw(k1, eax);
  } else {
    mov(rax, size_t(kSelect + lanes_ - last()));
    vmovups(mask(), ptr[rax]);
  }
}

void GeneratedTile::start_sums() {
  Xbyak::Label fresh, done;
  if (!s_.integers) {
    cmp(qword[args_ + offsetof(MicroKernelArgs, first)], 0);
    jne(fresh, T_NEAR);
    each_sum([&](int i, int j) { load(sum(i, j), result_at(i, j), narrow(j)); });
    jmp(done, T_NEAR);
  }
  L(fresh);
  each_sum([&](int i, int j) { vxorps(sum(i, j), sum(i, j), sum(i, j)); });
  L(done);
}

// sums += a[:, k] b[k, :]
void GeneratedTile::step(int k) {
  for (int j = 0; j < across_; ++j) {
    const int64_t from = k * b_step() + bytes_at(j);
    load(b_vector(j), ptr[b_ + size_t(from)], narrow(j) && s_.b_stride != 0);
    if (s_.prefetch > 0 && bytes_at(j) % 64 == 0)
      prefetcht0(ptr[b_ + size_t(from + s_.prefetch * b_step())]);
  }
  const int64_t stride = s_.a_stride == 0 ? 1 : s_.a_stride;
  for (int i = 0; i < s_.rows; ++i)
    multiply_add(i, a_ + size_t(k * a_step() + i * stride * a_bytes()));
}

void GeneratedTile::multiply_add(int i, const Xbyak::RegExp& place) {
  if (s_.integers) {
    // Two multiplications, then their additions, keep the units busier than each with its own; the
    // last product takes the place of the pair.
    vpbroadcastd(spare(), ptr[place]);
    for (int j = 0; j < across_; ++j) {
      const bool last = j + 1 == across_, with_last = j + 2 == across_;
      vpmaddwd(last ? spare() : product(), b_vector(j), spare());
      if (last && across_ > 1) vpaddd(sum(i, j - 1), sum(i, j - 1), product());
      if (!with_last) vpaddd(sum(i, j), sum(i, j), last ? spare() : product());
    }
  } else if (wide_ && across_ == 1) {
    multiply_add(sum(i, 0), b_vector(0), ptr_b[place]);
  } else {
    vbroadcastss(spare(), ptr[place]);
    for (int j = 0; j < across_; ++j) multiply_add(sum(i, j), b_vector(j), spare());
  }
}

void GeneratedTile::multiply_add(const Xmm& sum, const Xmm& b, const Xbyak::Operand& a) {
  if (s_.bf16)
    vdpbf16ps(sum, b, a);
  else
    vfmadd231ps(sum, b, a);
}

void GeneratedTile::run_of_k() {
  Xbyak::Label body, rest, one, done;
  mov(k_, arg(offsetof(MicroKernelArgs, k)));
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

void GeneratedTile::all_runs() {
  if (!s_.windows) return run_of_k();
  Xbyak::Label next;
  const Xbyak::Reg64 base = r_;  // that of a residual comes later
  mov(base, a_);
  mov(offsets_, arg(offsetof(MicroKernelArgs, offsets)));
  mov(runs_, arg(offsetof(MicroKernelArgs, runs)));
  L(next);
  mov(a_, base);
  add(a_, ptr[offsets_]);
  add(offsets_, int(sizeof(int64_t)));
  run_of_k();
  sub(runs_, 1);
  jnz(next, T_NEAR);
}

}  // namespace espalier::kernels
#endif
