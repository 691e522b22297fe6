/* Numbers as integers: rounded half to even, shifted by the zero point, saturated. NaN becomes the
   zero point. */
#ifndef ESP_QUANTISE_H
#define ESP_QUANTISE_H

#include <stdint.h>

static inline int32_t esp_quantise(float steps, int32_t zero, int32_t lowest, int32_t highest) {
  if (steps != steps) return zero;
  if (steps < -131072.0f) steps = -131072.0f;
  if (steps > 131072.0f) steps = 131072.0f;
  /* Adding 1.5 * 2^23 leaves no bits behind the point. */
  const float shifted = steps + 12582912.0f;
  const int32_t q = (int32_t)(shifted - 12582912.0f) + zero;
  return q < lowest ? lowest : q > highest ? highest : q;
}

#endif
