// Optimiser steps over one parameter; every array may be updated in place.
#pragma once

#include <cstdint>

#include "tensor/dtype.h"

namespace espalier::kernels {

struct SgdArgs {
  float learning_rate, momentum, weight_decay;
  bool nesterov;
  DType gradient_type = DType::f32;  ///< f32 or bf16
};
/// g = gradient + weight_decay p;  m' = momentum m + g;
/// p' = p - learning_rate (nesterov ? g + momentum m' : m').
void sgd_step(int64_t n, const SgdArgs& a, const float* p, const void* gradient, const float* m,
              float* p_next, float* m_next);

struct AdamWArgs {
  float learning_rate, beta1, beta2, epsilon, weight_decay;
  float unbias1, unbias2;            ///< 1 / (1 - beta^t)
  DType gradient_type = DType::f32;  ///< f32 or bf16
};
/// Adam with decoupled weight decay (Loshchilov and Hutter, 2019).
void adamw_step(int64_t n, const AdamWArgs& a, const float* p, const void* gradient, const float* m,
                const float* v, float* p_next, float* m_next, float* v_next);

struct LionArgs {
  float learning_rate, beta1, beta2, weight_decay;
  DType gradient_type = DType::f32;  ///< f32 or bf16
};
/// The sign of interpolated momentum (Chen et al., 2023).
void lion_step(int64_t n, const LionArgs& a, const float* p, const void* gradient, const float* m,
               float* p_next, float* m_next);

/// The sum of squares of n elements, f32 or bf16, in an order that n alone decides.
double sum_of_squares(int64_t n, DType type, const void* x);
/// y = factor x; y may be x.
void scale_by(int64_t n, DType type, float factor, const void* x, void* y);

}  // namespace espalier::kernels
