/* y[n][m] = bias[m] + sum over channels of the group and kernel of w * x, cut off at low and high.
   x is [batch][group * channels][spatial], w is [group * results][channels][kernel]. */
#ifndef ESP_CONV_H
#define ESP_CONV_H

#include <string.h>

#include "window.h"

typedef struct {
  esp_window window;
  int batch, group, channels, results; /* channels and results of one group */
} esp_conv;

/* Registers of several numbers, where the compiler tells that there are any. */
#if defined(__SSE__) || defined(__ARM_NEON)
#define ESP_CONV_LANES
typedef float esp_conv_x4 __attribute__((vector_size(16)));
typedef float esp_conv_x8 __attribute__((vector_size(32)));
#endif

#ifdef __GNUC__
#define ESP_CONV_UNROLL _Pragma("GCC unroll 8")
#else
#define ESP_CONV_UNROLL
#endif

/* Neighbouring results of a row, at o, of PLANES channels: as many as T has lanes. Their sums stay
   in registers, and each x serves all channels. x is the group's first plane; w, bias and y are the
   channels'. */
#define ESP_CONV_TILE(NAME, PLANES, T)                                                        \
  static inline void NAME(const esp_conv* p, const int* o, const float* x, const float* w,    \
                          const float* bias, float low, float high, float* y) {               \
    enum { lanes = sizeof(T) / sizeof(float) };                                               \
    const esp_window* g = &p->window;                                                         \
    const int kernel_size = g->kernel[0] * g->kernel[1] * g->kernel[2];                       \
    const int out_size = g->out[0] * g->out[1] * g->out[2], step = g->stride[2];              \
    float line[lanes];                                                                        \
    T sums[PLANES], from;                                                                     \
    ESP_CONV_UNROLL                                                                           \
    for (int m = 0; m < PLANES; ++m) sums[m] = (T){0} + (bias ? bias[m] : 0.0f);              \
    for (int c = 0; c < p->channels; ++c)                                                     \
      for (int k0 = 0; k0 < g->kernel[0]; ++k0) {                                             \
        const int at0 = esp_window_at(g, 0, o[0], k0);                                        \
        if (at0 < 0 || at0 >= g->in[0]) continue;                                             \
        for (int k1 = 0; k1 < g->kernel[1]; ++k1) {                                           \
          const int at1 = esp_window_at(g, 1, o[1], k1);                                      \
          if (at1 < 0 || at1 >= g->in[1]) continue;                                           \
          const float* row = x + ((c * g->in[0] + at0) * g->in[1] + at1) * g->in[2];          \
          const float* by = w + ((c * g->kernel[0] + k0) * g->kernel[1] + k1) * g->kernel[2]; \
          for (int k2 = 0; k2 < g->kernel[2]; ++k2) {                                         \
            const int at = esp_window_at(g, 2, o[2], k2);                                     \
            if (step == 1 && at >= 0 && at + lanes <= g->in[2]) {                             \
              memcpy(&from, row + at, sizeof from);                                           \
            } else {                                                                          \
              for (int i = 0; i < lanes; ++i) {                                               \
                const int j = at + i * step;                                                  \
                line[i] = j >= 0 && j < g->in[2] ? row[j] : 0.0f;                             \
              }                                                                               \
              memcpy(&from, line, sizeof from);                                               \
            }                                                                                 \
            ESP_CONV_UNROLL                                                                   \
            for (int m = 0; m < PLANES; ++m)                                                  \
              sums[m] += by[m * p->channels * kernel_size + k2] * from;                       \
          }                                                                                   \
        }                                                                                     \
      }                                                                                       \
    y += (o[0] * g->out[1] + o[1]) * g->out[2] + o[2];                                        \
    ESP_CONV_UNROLL                                                                           \
    for (int m = 0; m < PLANES; ++m) {                                                        \
      memcpy(line, &sums[m], sizeof line);                                                    \
      for (int i = 0; i < lanes; ++i)                                                         \
        y[m * out_size + i] = line[i] < low ? low : line[i] > high ? high : line[i];          \
    }                                                                                         \
  }

/* All results of PLANES channels. A row's last tile reaches back over the one before it. */
#define ESP_CONV_ROWS(PLANES, T, LANES)                                                  \
  ESP_CONV_TILE(esp_conv_##PLANES##x##LANES, PLANES, T)                                  \
  static inline void esp_conv_rows_##PLANES##x##LANES(const esp_conv* p, const float* x, \
                                                      const float* w, const float* bias, \
                                                      float low, float high, float* y) { \
    const int* out = p->window.out;                                                      \
    int o[3];                                                                            \
    for (o[0] = 0; o[0] < out[0]; ++o[0])                                                \
      for (o[1] = 0; o[1] < out[1]; ++o[1])                                              \
        for (int i = 0; i < out[2]; i += LANES) {                                        \
          o[2] = i + LANES <= out[2] ? i : out[2] - LANES;                               \
          esp_conv_##PLANES##x##LANES(p, o, x, w, bias, low, high, y);                   \
        }                                                                                \
  }

ESP_CONV_ROWS(1, float, 1)
ESP_CONV_ROWS(8, float, 1)
#ifdef ESP_CONV_LANES
ESP_CONV_ROWS(1, esp_conv_x4, 4)
ESP_CONV_ROWS(8, esp_conv_x4, 4)
ESP_CONV_ROWS(1, esp_conv_x8, 8)
ESP_CONV_ROWS(8, esp_conv_x8, 8)
#endif

/* All results of one channel, or of eight. */
static inline void esp_conv_planes(const esp_conv* p, int planes, const float* x, const float* w,
                                   const float* bias, float low, float high, float* y) {
#ifdef ESP_CONV_LANES
  if (p->window.out[2] >= 8) {
    (planes == 8 ? esp_conv_rows_8x8 : esp_conv_rows_1x8)(p, x, w, bias, low, high, y);
    return;
  }
  if (p->window.out[2] >= 4) {
    (planes == 8 ? esp_conv_rows_8x4 : esp_conv_rows_1x4)(p, x, w, bias, low, high, y);
    return;
  }
#endif
  (planes == 8 ? esp_conv_rows_8x1 : esp_conv_rows_1x1)(p, x, w, bias, low, high, y);
}

static inline void esp_conv_f32(const esp_conv* p, const float* x, const float* w,
                                const float* bias, float low, float high, float* y) {
  const esp_window* g = &p->window;
  const int in_size = g->in[0] * g->in[1] * g->in[2];
  const int out_size = g->out[0] * g->out[1] * g->out[2];
  const int weights = p->channels * g->kernel[0] * g->kernel[1] * g->kernel[2];
  for (int block = 0; block < p->batch * p->group; ++block, x += p->channels * in_size) {
    const int first = block % p->group * p->results;
    int m = 0;
    for (; m + 8 <= p->results; m += 8, y += 8 * out_size)
      esp_conv_planes(p, 8, x, w + (first + m) * weights, bias ? bias + first + m : 0, low, high,
                      y);
    for (; m < p->results; ++m, y += out_size)
      esp_conv_planes(p, 1, x, w + (first + m) * weights, bias ? bias + first + m : 0, low, high,
                      y);
  }
}

#endif
