/* Gradients of pools. x and dx are [planes][in], dy is [planes][out]. */
#ifndef ESP_POOL_GRAD_H
#define ESP_POOL_GRAD_H

#include "window.h"

/* Where in a plane kernel element k of the window at o lies; -1 outside. */
static inline int esp_pool_at(const esp_window* g, const int* o, const int* k) {
  int at = 0;
  for (int axis = 0; axis < 3; ++axis) {
    const int i = esp_window_at(g, axis, o[axis], k[axis]);
    if (i < 0 || i >= g->in[axis]) return -1;
    at = at * g->in[axis] + i;
  }
  return at;
}

/* Each window hands its gradient to its largest element, of equal ones to the first. */
static inline void esp_max_pool_grad_f32(const esp_window* g, int planes, const float* x,
                                         const float* dy, float* dx) {
  const int in_size = g->in[0] * g->in[1] * g->in[2];
  int o[3], k[3];
  for (int i = 0; i < planes * in_size; ++i) dx[i] = 0.0f;
  for (int p = 0; p < planes; ++p, x += in_size, dx += in_size)
    for (o[0] = 0; o[0] < g->out[0]; ++o[0])
      for (o[1] = 0; o[1] < g->out[1]; ++o[1])
        for (o[2] = 0; o[2] < g->out[2]; ++o[2], ++dy) {
          int best = -1;
          for (k[0] = 0; k[0] < g->kernel[0]; ++k[0])
            for (k[1] = 0; k[1] < g->kernel[1]; ++k[1])
              for (k[2] = 0; k[2] < g->kernel[2]; ++k[2]) {
                const int at = esp_pool_at(g, o, k);
                if (at >= 0 && (best < 0 || x[at] > x[best])) best = at;
              }
          if (best >= 0) dx[best] += *dy;
        }
}

/* Each window spreads its gradient over the elements it averaged: `counts` says by how many each
   result of a plane was divided; where it is 0, all by `count`. */
static inline void esp_average_pool_grad_f32(const esp_window* g, int planes, const float* counts,
                                             float count, const float* dy, float* dx) {
  const int in_size = g->in[0] * g->in[1] * g->in[2];
  int o[3], k[3];
  for (int i = 0; i < planes * in_size; ++i) dx[i] = 0.0f;
  for (int p = 0; p < planes; ++p, dx += in_size)
    for (o[0] = 0; o[0] < g->out[0]; ++o[0])
      for (o[1] = 0; o[1] < g->out[1]; ++o[1])
        for (o[2] = 0; o[2] < g->out[2]; ++o[2], ++dy) {
          const int result = (o[0] * g->out[1] + o[1]) * g->out[2] + o[2];
          const float share = *dy / (counts ? counts[result] : count);
          for (k[0] = 0; k[0] < g->kernel[0]; ++k[0])
            for (k[1] = 0; k[1] < g->kernel[1]; ++k[1])
              for (k[2] = 0; k[2] < g->kernel[2]; ++k[2]) {
                const int at = esp_pool_at(g, o, k);
                if (at >= 0) dx[at] += share;
              }
        }
}

#endif
