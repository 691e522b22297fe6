/* y = (x - mean) / sqrt(variance + epsilon) * scale + bias over rows of [outer][extent]; scale and
   bias walk along the row; bias, mean and the inverse deviation may be 0. */
#ifndef ESP_LAYER_NORM_H
#define ESP_LAYER_NORM_H

#include <math.h>

static inline void esp_layer_norm_f32(int outer, int extent, const float* x, const float* scale,
                                      const float* bias, float epsilon, float* y, float* means,
                                      float* inverses) {
  for (int o = 0; o < outer; ++o, x += extent, y += extent) {
    float mean = 0.0f, variance = 0.0f;
    for (int i = 0; i < extent; ++i) mean += x[i];
    mean /= (float)extent;
    for (int i = 0; i < extent; ++i) variance += (x[i] - mean) * (x[i] - mean);
    const float inverse = 1.0f / sqrtf(variance / (float)extent + epsilon);
    for (int i = 0; i < extent; ++i)
      y[i] = (x[i] - mean) * inverse * scale[i] + (bias ? bias[i] : 0.0f);
    if (means) means[o] = mean;
    if (inverses) inverses[o] = inverse;
  }
}

#endif
