/* Sums of one row of a product of 8-bit a with integers b, walked as esp_matmul says. The number
   behind a byte of a is (byte ^ flip) - zero (see conv_integer.h); b has its zero point taken
   off. */
#ifndef ESP_MATMUL_INTEGER_H
#define ESP_MATMUL_INTEGER_H

#include <stdint.h>

#include "matmul.h"

#define ESP_MATMUL_INTEGER(NAME, B)                                                      \
  static inline void NAME(const esp_matmul* p, int i, const void* a, int flip, int zero, \
                          const B* b, int32_t* sums) {                                   \
    const uint8_t* row = (const uint8_t*)a + i * p->a_row;                               \
    for (int j = 0; j < p->columns; ++j) sums[j] = 0;                                    \
    if (p->b_row == 1) {                                                                 \
      for (int j = 0; j < p->columns; ++j, b += p->b_column)                             \
        for (int l = 0; l < p->inner; ++l)                                               \
          sums[j] += ((row[l * p->a_column] ^ flip) - zero) * b[l];                      \
    } else {                                                                             \
      for (int l = 0; l < p->inner; ++l, b += p->b_row) {                                \
        const int by = (row[l * p->a_column] ^ flip) - zero;                             \
        for (int j = 0; j < p->columns; ++j) sums[j] += by * b[j * p->b_column];         \
      }                                                                                  \
    }                                                                                    \
  }

#endif
