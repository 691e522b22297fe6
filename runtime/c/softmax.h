/* y = e^(x - max) / sum, or x - max - ln(sum) if `logarithm`, along the middle of
   [outer][extent][inner]. x and y may be the same. The largest element's own e^0 is added last: it
   may be all of the sum but what f32 would round away. */
#ifndef ESP_SOFTMAX_H
#define ESP_SOFTMAX_H

#include <math.h>

static inline void esp_softmax_f32(int outer, int extent, int inner, int logarithm, const float* x,
                                   float* y) {
  for (int o = 0; o < outer; ++o)
    for (int i = 0; i < inner; ++i) {
      const int at = o * extent * inner + i;
      int top = 0;
      float others = 0.0f;
      for (int k = 1; k < extent; ++k)
        if (x[at + k * inner] > x[at + top * inner]) top = k;
      const float most = x[at + top * inner];
      for (int k = 0; k < extent; ++k) {
        const float shifted = x[at + k * inner] - most, e = expf(shifted);
        if (k != top) others += e;
        y[at + k * inner] = logarithm ? shifted : e;
      }
      const float last = logarithm ? log1pf(others) : 1.0f / (1.0f + others);
      for (int k = 0; k < extent; ++k)
        y[at + k * inner] = logarithm ? y[at + k * inner] - last : y[at + k * inner] * last;
    }
}

#endif
