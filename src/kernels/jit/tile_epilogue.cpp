// What a generated tile does to its sums once k has run.
#if defined(__x86_64__)
#include <algorithm>
#include <bit>
#include <cmath>

#include "kernels/jit/generated_tile.h"

namespace espalier::kernels {
namespace {

/// Words of two registers that were packed into one, in their order.
alignas(32) constexpr int32_t kInterleave[8] = {0, 4, 1, 5, 2, 6, 3, 7};

}  // namespace

void GeneratedTile::finish() {
  Xbyak::Label plain;
  if (s_.integers) {
    each_sum([&](int i, int j) { vcvtdq2ps(sum(i, j), sum(i, j)); });
  } else {
    cmp(qword[args_ + offsetof(MicroKernelArgs, last)], 0);
    je(plain, T_NEAR);
  }
  if (s_.bias) per_column(offsetof(MicroKernelArgs, bias), &GeneratedTile::plus);
  if (s_.scale != 1) {
    number(b_vector(0), s_.scale);
    each_sum([&](int i, int j) { times(sum(i, j), b_vector(0)); });
  }
  if (s_.column_scales) per_column(offsetof(MicroKernelArgs, scales), &GeneratedTile::times);
  for (const EpilogueStep& step : s_.steps) apply(step);
  L(plain);
  store_result();
}

void GeneratedTile::per_column(size_t argument,
                               void (GeneratedTile::*apply)(const Xmm&, const Xmm&)) {
  mov(rax, arg(argument));
  for (int j = 0; j < across_; ++j) {
    vmovups(b_vector(0), ptr[rax + size_t(bytes_at(j))]);
    for (int i = 0; i < s_.rows; ++i) (this->*apply)(sum(i, j), b_vector(0));
  }
}

void GeneratedTile::number(const Xmm& to, float value) { bits(to, std::bit_cast<uint32_t>(value)); }

void GeneratedTile::bits(const Xmm& to, uint32_t value) {
  mov(eax, value);
  if (wide_) {
    vpbroadcastd(to, eax);
  } else {
    vmovd(Xmm(to.getIdx()), eax);
    vbroadcastss(to, Xmm(to.getIdx()));
  }
}

/// 8-bit integers of a row as f32. Nothing past the last column is read.
void GeneratedTile::load_bytes(const Xmm& to, int row, int column, int64_t stride, DType type) {
  const auto widen = [&](const Xmm& wide, const Xbyak::Operand& from) {
    if (type == DType::u8)
      vpmovzxbd(wide, from);
    else
      vpmovsxbd(wide, from);
  };
  if (narrow(column) && !wide_) {
    const Xmm bytes(to.getIdx());
    vpxor(bytes, bytes, bytes);
    const int64_t from = row * stride + int64_t{column} * lanes_;
    for (int i = 0; i < last(); ++i) vpinsrb(bytes, bytes, ptr[r_ + size_t(from + i)], uint8_t(i));
    widen(to, bytes);
  } else {
    widen(narrow(column) ? to | k1 | T_z : to, at(r_, row, column, stride, type));
  }
  vcvtdq2ps(to, to);
}

void GeneratedTile::add_residual(const EpilogueStep& step) {
  mov(r_, arg(offsetof(MicroKernelArgs, residual)));
  const Xmm factor = b_vector(0);
  const int64_t stride = s_.residual_stride > 0 ? s_.residual_stride : s_.c_stride;
  if (step.scale != 1) number(factor, step.scale);
  each_sum([&](int i, int j) {
    const Xbyak::Address place = at(r_, i, j, stride, DType::f32);
    // An operand in memory is read whole where no mask of AVX-512 forbids it.
    const bool bytes = step.residual_type != DType::f32, aside = bytes || (narrow(j) && !wide_);
    if (bytes)
      load_bytes(spare(), i, j, stride, step.residual_type);
    else if (aside)
      load(spare(), place, true);
    const Xmm to = narrow(j) && wide_ ? sum(i, j) | k1 : sum(i, j);
    const Xmm beside = spare();
    const Xbyak::Operand& from = aside ? static_cast<const Xbyak::Operand&>(beside)
                                       : static_cast<const Xbyak::Operand&>(place);
    if (step.scale == 1)
      vaddps(to, sum(i, j), from);
    else
      vfmadd231ps(to, factor, from);
  });
}

void GeneratedTile::apply(const EpilogueStep& step) {
  if (step.kind == EpilogueStep::Kind::kResidual) return add_residual(step);
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
    case ScalarCode::kNeg: bits(p, 0x80000000u); return all([&](const Xmm& x) { vxorps(x, x, p); });
    case ScalarCode::kAbs: bits(p, 0x7fffffffu); return all([&](const Xmm& x) { vandps(x, x, p); });
    case ScalarCode::kAffine:
      number(p, step.op.p0);
      all([&](const Xmm& x) { vmulps(x, x, p); });
      number(p, step.op.p1);
      return all([&](const Xmm& x) { vaddps(x, x, p); });
    default: return;  // the identity
  }
}

void GeneratedTile::store_result() {
  if (s_.y_type != DType::f32) return store_integers();
  each_sum([&](int i, int j) { store(result_at(i, j), sum(i, j), narrow(j)); });
}

/// After all steps; infinite where that is not known.
float GeneratedTile::largest_result() const {
  float most = s_.largest;
  for (const EpilogueStep& step : s_.steps) {
    if (step.kind == EpilogueStep::Kind::kResidual) return INFINITY;
    switch (step.op.code) {
      case ScalarCode::kIdentity:
      case ScalarCode::kRelu: break;
      case ScalarCode::kClip: most = std::min(most, step.op.p1); break;
      case ScalarCode::kAffine:
        if (step.op.p0 < 0) return INFINITY;
        most = most * step.op.p0 + step.op.p1;
        break;
      default: return INFINITY;
    }
  }
  return most;
}

void GeneratedTile::store_integers() {
  const bool is_signed = s_.y_type == DType::i8;
  // Numbers too large for 32 bits would become the least one; those too small do anyway.
  if (!(largest_result() < 0x1p30f)) {
    const Xmm most = b_vector(0);
    number(most, is_signed ? 127.0f : 255.0f);
    each_sum([&](int i, int j) { vminps(sum(i, j), sum(i, j), most); });
  }
  each_sum([&](int i, int j) { vcvtps2dq(sum(i, j), sum(i, j)); });
  if (wide_) {
    const Xmm zero = b_vector(0);
    vpxord(zero, zero, zero);
    return each_sum([&](int i, int j) {
      const Xbyak::Address to = narrow(j) ? result_at(i, j) | k1 : result_at(i, j);
      if (is_signed) return vpmovsdb(to, sum(i, j));
      vpmaxsd(sum(i, j), sum(i, j), zero);
      vpmovusdb(to, sum(i, j));
    });
  }
  mov(rax, size_t(kInterleave));
  vmovups(spare(), ptr[rax]);
  for (int i = 0; i < s_.rows; i += 2) store_rows_as_integers(i, std::min(2, s_.rows - i));
}

/// Of one row or two, with AVX2: what packing does is done to both halves of a register apart.
void GeneratedTile::store_rows_as_integers(int row, int rows) {
  using Xbyak::Ymm;
  for (int j = 0; j < across_; j += 2) {
    const int other = std::min(j + 1, across_ - 1), second = row + rows - 1;
    const Ymm x(sum(row, j).getIdx()), y(sum(second, j).getIdx());
    vpackssdw(x, x, Ymm(sum(row, other).getIdx()));
    if (rows == 2) vpackssdw(y, y, Ymm(sum(second, other).getIdx()));
    if (s_.y_type == DType::i8)
      vpacksswb(x, x, y);
    else
      vpackuswb(x, x, y);
    vpermd(x, Ymm(spare().getIdx()), x);
    const int count = std::min(2 * lanes_, columns_ - j * lanes_);
    const auto place = [&](int i) { return c_ + size_t(i * s_.c_stride + int64_t{j} * lanes_); };
    const Xmm low(x.getIdx()), high(y.getIdx());
    if (rows == 2) vextracti128(high, x, 1);
    store_bytes(place(row), low, count);
    if (rows == 2) store_bytes(place(second), high, count);
  }
}

/// The first `count` bytes, 16 at most.
void GeneratedTile::store_bytes(const Xbyak::RegExp& to, const Xmm& from, int count) {
  if (count == 16) return vmovdqu(ptr[to], from);
  size_t done = 0;
  const auto shift = [&](uint8_t by) {
    vpsrldq(from, from, by);
    done += by;
  };
  if (count & 8) vmovq(ptr[to + done], from), shift(8);
  if (count & 4) vmovd(ptr[to + done], from), shift(4);
  if (count & 2) vpextrw(ptr[to + done], from, 0), shift(2);
  if (count & 1) vpextrb(ptr[to + done], from, 0);
}

}  // namespace espalier::kernels
#endif
