/* Whole powers of integers; products wrap, 0 to a negative power is 0. */
#ifndef ESP_POWER_H
#define ESP_POWER_H

#include <stdint.h>

static inline int64_t esp_power(int64_t x, int64_t p) {
  uint64_t result = 1, square = (uint64_t)x;
  if (p < 0) return x == 1 ? 1 : x == -1 ? (p % 2 == 0 ? 1 : -1) : 0;
  for (; p > 0; p >>= 1, square *= square)
    if (p & 1) result *= square;
  return (int64_t)result;
}

#endif
