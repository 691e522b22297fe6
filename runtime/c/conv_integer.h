/* Sums of a convolution of 8-bit x with integer weights: of one plane, batch n and result channel
   m, without bias. The number behind a byte of x is (byte ^ flip) - zero: bytes of int8 have their
   sign flipped (flip 128, and 128 more in zero). Weights have their zero point taken off. */
#ifndef ESP_CONV_INTEGER_H
#define ESP_CONV_INTEGER_H

#include <stdint.h>

#include "conv.h"
#include "rows_integer.h"

/* Whether every result is of the number that lies where it does: the whole plane is then one row.
 */
static inline int esp_conv_is_pointwise(const esp_window* g) {
  for (int d = 0; d < 3; ++d)
    if (g->kernel[d] != 1 || g->in[d] != g->out[d] || esp_window_at(g, d, 0, 0) != 0 ||
        (g->out[d] > 1 && g->stride[d] != 1))
      return 0;
  return 1;
}

#define ESP_CONV_INTEGER(NAME, W)                                                                  \
  ESP_ROWS_INTEGER(NAME##_rows, W)                                                                 \
  static inline void NAME(const esp_conv* p, int n, int m, const void* x, int flip, int zero,      \
                          const W* w, int32_t* sums) {                                             \
    const esp_window* g = &p->window;                                                              \
    const int in_size = g->in[0] * g->in[1] * g->in[2];                                            \
    const int out_size = g->out[0] * g->out[1] * g->out[2];                                        \
    const int taps = g->kernel[0] * g->kernel[1] * g->kernel[2];                                   \
    const uint8_t* xg =                                                                            \
        (const uint8_t*)x + (n * p->group + m / p->results) * p->channels * in_size;               \
    w += m * p->channels * taps;                                                                   \
    for (int i = 0; i < out_size; ++i) sums[i] = 0;                                                \
    if (esp_conv_is_pointwise(g)) {                                                                \
      NAME##_rows(sums, xg, in_size, 1, out_size, flip, zero, w, 1, p->channels);                  \
      return;                                                                                      \
    }                                                                                              \
    for (int k0 = 0; k0 < g->kernel[0]; ++k0)                                                      \
      for (int k1 = 0; k1 < g->kernel[1]; ++k1)                                                    \
        for (int k2 = 0; k2 < g->kernel[2]; ++k2, ++w) {                                           \
          const int first = esp_window_first(g, 2, k2), count = esp_window_last(g, 2, k2) - first; \
          const int end0 = esp_window_last(g, 0, k0), end1 = esp_window_last(g, 1, k1);            \
          for (int o0 = esp_window_first(g, 0, k0); o0 < end0; ++o0)                               \
            for (int o1 = esp_window_first(g, 1, k1); o1 < end1; ++o1) {                           \
              const int row =                                                                      \
                  esp_window_at(g, 0, o0, k0) * g->in[1] + esp_window_at(g, 1, o1, k1);            \
              NAME##_rows(sums + (o0 * g->out[1] + o1) * g->out[2] + first,                        \
                          xg + row * g->in[2] + esp_window_at(g, 2, first, k2), in_size,           \
                          g->stride[2], count, flip, zero, w, taps, p->channels);                  \
            }                                                                                      \
        }                                                                                          \
  }

#endif
