/* The gradient of a convolution's weights: dw[m][c][k] = sum over n and o of dy[n][m][o] * x there.
   x is [batch][group * channels][spatial], dy is [batch][group * results][spatial], dw is
   [group * results][channels][kernel]. The gradient of its operand is conv_transpose.h. */
#ifndef ESP_CONV_GRAD_H
#define ESP_CONV_GRAD_H

#include "conv.h"

/* The sum over one plane of results for kernel element k. */
static inline float esp_conv_grad_plane(const esp_window* g, const int* k, const float* x,
                                        const float* dy) {
  const int first = esp_window_first(g, 2, k[2]), last = esp_window_last(g, 2, k[2]);
  float sum = 0.0f;
  for (int o0 = esp_window_first(g, 0, k[0]); o0 < esp_window_last(g, 0, k[0]); ++o0)
    for (int o1 = esp_window_first(g, 1, k[1]); o1 < esp_window_last(g, 1, k[1]); ++o1) {
      const float* row =
          x + (esp_window_at(g, 0, o0, k[0]) * g->in[1] + esp_window_at(g, 1, o1, k[1])) * g->in[2];
      const float* line = dy + (o0 * g->out[1] + o1) * g->out[2];
      for (int o2 = first; o2 < last; ++o2) sum += line[o2] * row[esp_window_at(g, 2, o2, k[2])];
    }
  return sum;
}

static inline void esp_conv_grad_weight_f32(const esp_conv* p, const float* x, const float* dy,
                                            float* dw) {
  const esp_window* g = &p->window;
  const int in_size = g->in[0] * g->in[1] * g->in[2];
  const int out_size = g->out[0] * g->out[1] * g->out[2];
  const int results = p->group * p->results, channels = p->group * p->channels;
  int k[3];
  for (int m = 0; m < results; ++m)
    for (int c = 0; c < p->channels; ++c)
      for (k[0] = 0; k[0] < g->kernel[0]; ++k[0])
        for (k[1] = 0; k[1] < g->kernel[1]; ++k[1])
          for (k[2] = 0; k[2] < g->kernel[2]; ++k[2], ++dw) {
            const int plane = m / p->results * p->channels + c;
            *dw = 0.0f;
            for (int n = 0; n < p->batch; ++n)
              *dw += esp_conv_grad_plane(g, k, x + (n * channels + plane) * in_size,
                                         dy + (n * results + m) * out_size);
          }
}

#endif
