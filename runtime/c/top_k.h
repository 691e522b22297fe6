/* The k largest (or smallest) of `extent` floats `step` apart, best first; of equals the one of
   lower index; NaN counts as largest. */
#ifndef ESP_TOP_K_H
#define ESP_TOP_K_H

#include <stdint.h>

static inline int esp_below(float u, float v) { return u == u && (v != v || u < v); }

static inline void esp_top_k_f32(int extent, int step, int k, int largest, const float* x, float* y,
                                 int64_t* at) {
  for (int i = 0; i < k; ++i) {
    int best = -1;
    for (int j = 0; j < extent; ++j) {
      /* What stands behind the last one taken, in the order wanted. */
      if (i > 0) {
        const float last = y[(i - 1) * step];
        const int from = (int)at[(i - 1) * step];
        const int before = largest ? esp_below(last, x[j * step]) : esp_below(x[j * step], last);
        const int behind = largest ? esp_below(x[j * step], last) : esp_below(last, x[j * step]);
        if (before || (!behind && j <= from)) continue;
      }
      if (best < 0 || (largest ? esp_below(x[best * step], x[j * step])
                               : esp_below(x[j * step], x[best * step])))
        best = j;
    }
    y[i * step] = x[best * step];
    at[i * step] = best;
  }
}

#endif
