#include "kernels/optimiser.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/optimiser.cpp"
#include "kernels/simd.h"
//
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cmath>

#include "tensor/dtype.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels {
namespace HWY_NAMESPACE {
namespace {

// Plain loops: the compiler vectorises them for each instruction set.
template <class G>
void sgd_typed(int64_t begin, int64_t end, const SgdArgs& a, const float* p, const G* gradient,
               const float* m, float* p_next, float* m_next) {
  const float lr = a.learning_rate, momentum = a.momentum, decay = a.weight_decay;
  const float own = a.nesterov ? 1.0f : 0.0f, after = a.nesterov ? momentum : 1.0f;
#pragma GCC ivdep
  for (int64_t i = begin; i < end; ++i) {
    const float g = float(gradient[i]) + decay * p[i];
    const float next = momentum * m[i] + g;
    const float step = own * g + after * next;
    p_next[i] = p[i] - lr * step;
    m_next[i] = next;
  }
}

template <class G>
void adamw_typed(int64_t begin, int64_t end, const AdamWArgs& a, const float* p, const G* gradient,
                 const float* m, const float* v, float* p_next, float* m_next, float* v_next) {
  const float keep = 1 - a.learning_rate * a.weight_decay;
#pragma GCC ivdep
  for (int64_t i = begin; i < end; ++i) {
    const float g = float(gradient[i]);
    const float first = a.beta1 * m[i] + (1 - a.beta1) * g;
    const float second = a.beta2 * v[i] + (1 - a.beta2) * g * g;
    const float step = first * a.unbias1 / (std::sqrt(second * a.unbias2) + a.epsilon);
    p_next[i] = p[i] * keep - a.learning_rate * step;
    m_next[i] = first;
    v_next[i] = second;
  }
}

void sgd_range(int64_t begin, int64_t end, const SgdArgs& a, const float* p, const void* gradient,
               const float* m, float* p_next, float* m_next) {
  if (a.gradient_type == DType::f32)
    sgd_typed(begin, end, a, p, static_cast<const float*>(gradient), m, p_next, m_next);
  else
    sgd_typed(begin, end, a, p, static_cast<const bfloat16*>(gradient), m, p_next, m_next);
}

void adamw_range(int64_t begin, int64_t end, const AdamWArgs& a, const float* p,
                 const void* gradient, const float* m, const float* v, float* p_next, float* m_next,
                 float* v_next) {
  if (a.gradient_type == DType::f32)
    adamw_typed(begin, end, a, p, static_cast<const float*>(gradient), m, v, p_next, m_next,
                v_next);
  else
    adamw_typed(begin, end, a, p, static_cast<const bfloat16*>(gradient), m, v, p_next, m_next,
                v_next);
}

template <class G>
void lion_typed(int64_t begin, int64_t end, const LionArgs& a, const float* p, const G* gradient,
                const float* m, float* p_next, float* m_next) {
  const float keep = 1 - a.learning_rate * a.weight_decay;
#pragma GCC ivdep
  for (int64_t i = begin; i < end; ++i) {
    const float g = float(gradient[i]);
    const float c = a.beta1 * m[i] + (1 - a.beta1) * g;
    const float sign = c > 0 ? 1.0f : c < 0 ? -1.0f : c;
    p_next[i] = p[i] * keep - a.learning_rate * sign;
    m_next[i] = a.beta2 * m[i] + (1 - a.beta2) * g;
  }
}

void lion_range(int64_t begin, int64_t end, const LionArgs& a, const float* p, const void* gradient,
                const float* m, float* p_next, float* m_next) {
  if (a.gradient_type == DType::f32)
    lion_typed(begin, end, a, p, static_cast<const float*>(gradient), m, p_next, m_next);
  else
    lion_typed(begin, end, a, p, static_cast<const bfloat16*>(gradient), m, p_next, m_next);
}

template <class T>
double squares_typed(int64_t begin, int64_t end, const T* x) {
  constexpr int64_t kLanes = 16;
  float lanes[kLanes] = {};
  int64_t i = begin;
  for (; i + kLanes <= end; i += kLanes)
    for (int64_t l = 0; l < kLanes; ++l) lanes[l] += float(x[i + l]) * float(x[i + l]);
  for (int64_t l = 0; i + l < end; ++l) lanes[l] += float(x[i + l]) * float(x[i + l]);
  double sum = 0;
  for (float lane : lanes) sum += double(lane);
  return sum;
}

double squares_range(int64_t begin, int64_t end, DType type, const void* x) {
  return type == DType::f32 ? squares_typed(begin, end, static_cast<const float*>(x))
                            : squares_typed(begin, end, static_cast<const bfloat16*>(x));
}

template <class T>
void scale_typed(int64_t begin, int64_t end, float factor, const T* x, T* y) {
#pragma GCC ivdep
  for (int64_t i = begin; i < end; ++i) y[i] = T(float(x[i]) * factor);
}

void scale_range(int64_t begin, int64_t end, DType type, float factor, const void* x, void* y) {
  if (type == DType::f32)
    scale_typed(begin, end, factor, static_cast<const float*>(x), static_cast<float*>(y));
  else
    scale_typed(begin, end, factor, static_cast<const bfloat16*>(x), static_cast<bfloat16*>(y));
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace espalier::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <algorithm>
#include <vector>

#include "base/threads.h"

namespace espalier::kernels {
namespace {
HWY_EXPORT(sgd_range);
HWY_EXPORT(adamw_range);
HWY_EXPORT(lion_range);
HWY_EXPORT(squares_range);
HWY_EXPORT(scale_range);
constexpr int64_t kGrain = 1 << 15;
}  // namespace

void sgd_step(int64_t n, const SgdArgs& a, const float* p, const void* gradient, const float* m,
              float* p_next, float* m_next) {
  parallel_for(n, kGrain, [&](int64_t b, int64_t e) {
    HWY_DYNAMIC_DISPATCH(sgd_range)(b, e, a, p, gradient, m, p_next, m_next);
  });
}

void adamw_step(int64_t n, const AdamWArgs& a, const float* p, const void* gradient, const float* m,
                const float* v, float* p_next, float* m_next, float* v_next) {
  parallel_for(n, kGrain, [&](int64_t b, int64_t e) {
    HWY_DYNAMIC_DISPATCH(adamw_range)(b, e, a, p, gradient, m, v, p_next, m_next, v_next);
  });
}

void lion_step(int64_t n, const LionArgs& a, const float* p, const void* gradient, const float* m,
               float* p_next, float* m_next) {
  parallel_for(n, kGrain, [&](int64_t b, int64_t e) {
    HWY_DYNAMIC_DISPATCH(lion_range)(b, e, a, p, gradient, m, p_next, m_next);
  });
}

double sum_of_squares(int64_t n, DType type, const void* x) {
  const int64_t parts = (n + kGrain - 1) / kGrain;
  std::vector<double> sums(static_cast<size_t>(parts));
  parallel_chunks(parts, [&](int64_t part) {
    sums[size_t(part)] = HWY_DYNAMIC_DISPATCH(squares_range)(
        part * kGrain, std::min(n, (part + 1) * kGrain), type, x);
  });
  double sum = 0;
  for (double s : sums) sum += s;
  return sum;
}

void scale_by(int64_t n, DType type, float factor, const void* x, void* y) {
  parallel_for(n, kGrain, [&](int64_t b, int64_t e) {
    HWY_DYNAMIC_DISPATCH(scale_range)(b, e, type, factor, x, y);
  });
}

}  // namespace espalier::kernels
#endif
