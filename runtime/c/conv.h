/* y[n][m] = bias[m] + sum over channels of the group and kernel of w * x, cut off at low and high.
   x is [batch][group * channels][spatial], w is [group * results][channels][kernel]. */
#ifndef ESP_CONV_H
#define ESP_CONV_H

#include "window.h"

typedef struct {
  esp_window window;
  int batch, group, channels, results; /* channels and results of one group */
} esp_conv;

static inline void esp_conv_f32(const esp_conv* p, const float* x, const float* w,
                                const float* bias, float low, float high, float* y) {
  const esp_window* g = &p->window;
  const int in_size = g->in[0] * g->in[1] * g->in[2];
  const int out_size = g->out[0] * g->out[1] * g->out[2];
  const int kernel_size = g->kernel[0] * g->kernel[1] * g->kernel[2];
  for (int n = 0; n < p->batch; ++n)
    for (int m = 0; m < p->group * p->results; ++m) {
      const float* wm = w + m * p->channels * kernel_size;
      const float* xg = x + (n * p->group + m / p->results) * p->channels * in_size;
      for (int i = 0; i < out_size; ++i) y[i] = bias ? bias[m] : 0.0f;
      for (int c = 0; c < p->channels; ++c)
        for (int k0 = 0; k0 < g->kernel[0]; ++k0)
          for (int k1 = 0; k1 < g->kernel[1]; ++k1)
            for (int k2 = 0; k2 < g->kernel[2]; ++k2) {
              const float by =
                  wm[((c * g->kernel[0] + k0) * g->kernel[1] + k1) * g->kernel[2] + k2];
              const int first = esp_window_first(g, 2, k2);
              const int count = esp_window_last(g, 2, k2) - first, step = g->stride[2];
              for (int o0 = esp_window_first(g, 0, k0); o0 < esp_window_last(g, 0, k0); ++o0)
                for (int o1 = esp_window_first(g, 1, k1); o1 < esp_window_last(g, 1, k1); ++o1) {
                  const float* from =
                      xg + c * in_size +
                      (esp_window_at(g, 0, o0, k0) * g->in[1] + esp_window_at(g, 1, o1, k1)) *
                          g->in[2] +
                      esp_window_at(g, 2, first, k2);
                  float* to = y + (o0 * g->out[1] + o1) * g->out[2] + first;
                  if (step == 1)
                    for (int i = 0; i < count; ++i) to[i] += by * from[i];
                  else
                    for (int i = 0; i < count; ++i) to[i] += by * from[i * step];
                }
            }
      for (int i = 0; i < out_size; ++i) y[i] = y[i] < low ? low : y[i] > high ? high : y[i];
      y += out_size;
    }
}

#endif
