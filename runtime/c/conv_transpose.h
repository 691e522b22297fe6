/* The transpose of a convolution: every x is spread by the kernel. Here the window's `out` are the
   positions of x and its `in` those of y. x is [batch][group * channels][spatial], w is
   [group * channels][results][kernel]. */
#ifndef ESP_CONV_TRANSPOSE_H
#define ESP_CONV_TRANSPOSE_H

#include "window.h"

typedef struct {
  esp_window window;
  int batch, group, channels, results; /* of one group */
} esp_conv_transpose;

static inline void esp_conv_transpose_f32(const esp_conv_transpose* p, const float* x,
                                          const float* w, const float* bias, float* y) {
  const esp_window* g = &p->window;
  const int x_size = g->out[0] * g->out[1] * g->out[2];
  const int y_size = g->in[0] * g->in[1] * g->in[2];
  const int kernel_size = g->kernel[0] * g->kernel[1] * g->kernel[2];
  for (int n = 0; n < p->batch; ++n)
    for (int m = 0; m < p->group * p->results; ++m) {
      const int first_channel = m / p->results * p->channels;
      for (int i = 0; i < y_size; ++i) y[i] = bias ? bias[m] : 0.0f;
      for (int c = 0; c < p->channels; ++c) {
        const float* from = x + ((n * p->group * p->channels) + first_channel + c) * x_size;
        const float* by = w + ((first_channel + c) * p->results + m % p->results) * kernel_size;
        for (int k0 = 0; k0 < g->kernel[0]; ++k0)
          for (int k1 = 0; k1 < g->kernel[1]; ++k1)
            for (int k2 = 0; k2 < g->kernel[2]; ++k2, ++by) {
              const int first = esp_window_first(g, 2, k2), last = esp_window_last(g, 2, k2);
              const float times = *by;
              for (int o0 = esp_window_first(g, 0, k0); o0 < esp_window_last(g, 0, k0); ++o0)
                for (int o1 = esp_window_first(g, 1, k1); o1 < esp_window_last(g, 1, k1); ++o1) {
                  const float* line = from + (o0 * g->out[1] + o1) * g->out[2];
                  float* row = y + (esp_window_at(g, 0, o0, k0) * g->in[1] +
                                    esp_window_at(g, 1, o1, k1)) *
                                       g->in[2];
                  for (int o2 = first; o2 < last; ++o2)
                    row[esp_window_at(g, 2, o2, k2)] += times * line[o2];
                }
            }
      }
      y += y_size;
    }
}

#endif
