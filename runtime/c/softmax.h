/* y = e^(x - max) / sum, or x - max - ln(sum) if `logarithm`, along the middle of
   [outer][extent][inner]. x and y may be the same. */
#ifndef ESP_SOFTMAX_H
#define ESP_SOFTMAX_H

#include <math.h>

static inline void esp_softmax_f32(int outer, int extent, int inner, int logarithm, const float* x,
                                   float* y) {
  for (int o = 0; o < outer; ++o)
    for (int i = 0; i < inner; ++i) {
      const int at = o * extent * inner + i;
      float most = -INFINITY, sum = 0.0f;
      for (int k = 0; k < extent; ++k) most = fmaxf(most, x[at + k * inner]);
      for (int k = 0; k < extent; ++k) {
        const float shifted = x[at + k * inner] - most, e = expf(shifted);
        sum += e;
        y[at + k * inner] = logarithm ? shifted : e;
      }
      const float last = logarithm ? logf(sum) : 1.0f / sum;
      for (int k = 0; k < extent; ++k)
        y[at + k * inner] = logarithm ? y[at + k * inner] - last : y[at + k * inner] * last;
    }
}

#endif
