/* Sums of a convolution of 8-bit x with integer weights: of one plane, batch n and result channel
   m, without bias. The number behind a byte of x is (byte ^ flip) - zero: bytes of int8 have their
   sign flipped (flip 128, and 128 more in zero). Weights have their zero point taken off. */
#ifndef ESP_CONV_INTEGER_H
#define ESP_CONV_INTEGER_H

#include <stdint.h>

#include "conv.h"

#define ESP_CONV_INTEGER(NAME, W)                                                                 \
  static inline void NAME(const esp_conv* p, int n, int m, const void* x, int flip, int zero,     \
                          const W* w, int32_t* sums) {                                            \
    const esp_window* g = &p->window;                                                             \
    const int in_size = g->in[0] * g->in[1] * g->in[2];                                           \
    const int out_size = g->out[0] * g->out[1] * g->out[2];                                       \
    const uint8_t* xg =                                                                           \
        (const uint8_t*)x + (n * p->group + m / p->results) * p->channels * in_size;              \
    w += m * p->channels * g->kernel[0] * g->kernel[1] * g->kernel[2];                            \
    for (int i = 0; i < out_size; ++i) sums[i] = 0;                                               \
    for (int c = 0; c < p->channels; ++c, xg += in_size)                                          \
      for (int k0 = 0; k0 < g->kernel[0]; ++k0)                                                   \
        for (int k1 = 0; k1 < g->kernel[1]; ++k1)                                                 \
          for (int k2 = 0; k2 < g->kernel[2]; ++k2) {                                             \
            const int by = *w++, step = g->stride[2];                                             \
            const int first = esp_window_first(g, 2, k2);                                         \
            const int count = esp_window_last(g, 2, k2) - first;                                  \
            for (int o0 = esp_window_first(g, 0, k0); o0 < esp_window_last(g, 0, k0); ++o0)       \
              for (int o1 = esp_window_first(g, 1, k1); o1 < esp_window_last(g, 1, k1); ++o1) {   \
                const uint8_t* from =                                                             \
                    xg +                                                                          \
                    (esp_window_at(g, 0, o0, k0) * g->in[1] + esp_window_at(g, 1, o1, k1)) *      \
                        g->in[2] +                                                                \
                    esp_window_at(g, 2, first, k2);                                               \
                int32_t* to = sums + (o0 * g->out[1] + o1) * g->out[2] + first;                   \
                if (step == 1)                                                                    \
                  for (int i = 0; i < count; ++i) to[i] += by * ((from[i] ^ flip) - zero);        \
                else                                                                              \
                  for (int i = 0; i < count; ++i) to[i] += by * ((from[i * step] ^ flip) - zero); \
              }                                                                                   \
          }                                                                                       \
  }

#endif
