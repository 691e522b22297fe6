// What both forms of the attention kernel share: moving and converting elements. Included once per
// instruction set.
#if defined(ESPALIER_ATTENTION_MOVES_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef ESPALIER_ATTENTION_MOVES_INL
#undef ESPALIER_ATTENTION_MOVES_INL
#else
#define ESPALIER_ATTENTION_MOVES_INL
#endif

#include <cstring>
#include <limits>

#include "kernels/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels {
namespace HWY_NAMESPACE {
namespace {

constexpr int64_t kLanes = int64_t(hn::MaxLanes(DF()));
constexpr float kNever = -std::numeric_limits<float>::infinity();

HWY_INLINE float to_float(float v) { return v; }
HWY_INLINE float to_float(bfloat16 v) { return float(v); }

HWY_INLINE VF load(DF d, const float* p) { return hn::LoadU(d, p); }
HWY_INLINE VF load(DF d, const bfloat16* p) {
  return load_bf16(d, reinterpret_cast<const uint16_t*>(p));
}

/// What stands for a maximum in exponents: nothing seen yet counts as 0, so that it is forgotten.
HWY_INLINE VF shift_of(DF d, VF top) {
  return hn::IfThenElse(hn::Eq(top, hn::Set(d, kNever)), hn::Zero(d), top);
}

/// y[c * y_step + r] = factor x[r * x_step + c], four by four.
inline void transpose(const float* x, int64_t x_step, int64_t rows, int64_t columns, float factor,
                      float* y, int64_t y_step) {
  int64_t r = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::FixedTag<float, 4> d;
  const auto f = hn::Set(d, factor);
  for (; r + 4 <= rows; r += 4) {
    const float* from = x + r * x_step;
    int64_t c = 0;
    for (; c + 4 <= columns; c += 4) {
      const auto a0 = hn::LoadU(d, from + c), a1 = hn::LoadU(d, from + x_step + c);
      const auto a2 = hn::LoadU(d, from + 2 * x_step + c);
      const auto a3 = hn::LoadU(d, from + 3 * x_step + c);
      const auto low01 = hn::InterleaveLower(d, a0, a1), high01 = hn::InterleaveUpper(d, a0, a1);
      const auto low23 = hn::InterleaveLower(d, a2, a3), high23 = hn::InterleaveUpper(d, a2, a3);
      float* to = y + c * y_step + r;
      hn::StoreU(hn::Mul(f, hn::ConcatLowerLower(d, low23, low01)), d, to);
      hn::StoreU(hn::Mul(f, hn::ConcatUpperUpper(d, low23, low01)), d, to + y_step);
      hn::StoreU(hn::Mul(f, hn::ConcatLowerLower(d, high23, high01)), d, to + 2 * y_step);
      hn::StoreU(hn::Mul(f, hn::ConcatUpperUpper(d, high23, high01)), d, to + 3 * y_step);
    }
    for (; c < columns; ++c)
      for (int64_t i = 0; i < 4; ++i) y[c * y_step + r + i] = factor * from[i * x_step + c];
  }
#endif
  for (; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c) y[c * y_step + r] = factor * x[r * x_step + c];
}

/// `columns` elements as f32, one after another.
template <class T>
void widen_row(const T* x, int64_t step, int64_t columns, float* y) {
  const DF d;
  int64_t c = 0;
  if (step == 1)
    for (; c + kLanes <= columns; c += kLanes) hn::StoreU(load(d, x + c), d, y + c);
  for (; c < columns; ++c) y[c] = to_float(x[c * step]);
}

/// Rows of a view as f32: where they lie, or widened into `buffer`.
struct Rows {
  const float* at;
  int64_t token, feature;
};
inline Rows rows_of(const float* x, int64_t token, int64_t feature, int64_t, int64_t, float*) {
  return {x, token, feature};
}
inline Rows rows_of(const bfloat16* x, int64_t token, int64_t feature, int64_t rows,
                    int64_t columns, float* buffer) {
  for (int64_t r = 0; r < rows; ++r)
    widen_row(x + r * token, feature, columns, buffer + r * columns);
  return {buffer, columns, 1};
}

inline void transpose_rows(const Rows& x, int64_t rows, int64_t columns, float factor, float* y,
                           int64_t y_step) {
  if (x.feature == 1) return transpose(x.at, x.token, rows, columns, factor, y, y_step);
  for (int64_t c = 0; c < columns; ++c)
    for (int64_t r = 0; r < rows; ++r)
      y[c * y_step + r] = factor * x.at[r * x.token + c * x.feature];
}

inline void store_row(const float* x, int64_t n, float* y) {
  std::memcpy(y, x, size_t(n) * sizeof *y);
}
inline void store_row(const float* x, int64_t n, bfloat16* y) {
  const DF d;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    store_bf16(d, hn::LoadU(d, x + i), reinterpret_cast<uint16_t*>(y + i));
  for (; i < n; ++i) y[i] = bfloat16(x[i]);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace espalier::kernels
HWY_AFTER_NAMESPACE();

#endif
