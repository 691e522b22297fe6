#ifndef ESP_MATMUL_INT8_H
#define ESP_MATMUL_INT8_H

#include "matmul_integer.h"
#include "rows_integer.h"

ESP_ROWS_INTEGER(esp_matmul_rows, int16_t)

#ifdef ESP_PAIRS
/* The sum of (a - zero) b over the first multiple of four numbers of n, from sum on. */
static inline int32_t esp_dot_pairs(const uint8_t* a, const int8_t* b, int n, int is_signed,
                                    int zero, int32_t sum) {
  const uint32_t less = (uint32_t)(zero - (is_signed ? 128 : 0)) & 0xffffu;
  const uint32_t zeros = less | less << 16;
  for (; n >= 4; n -= 4, a += 4, b += 4) {
    uint32_t x, y, even, odd;
    memcpy(&x, a, 4);
    memcpy(&y, b, 4);
    __asm__("ssub16 %0, %1, %2" : "=r"(even) : "r"(esp_even_bytes(x, is_signed)), "r"(zeros));
    __asm__("ssub16 %0, %1, %2" : "=r"(odd) : "r"(esp_odd_bytes(x, is_signed)), "r"(zeros));
    sum = esp_add_pairs(even, esp_even_bytes(y, 1), sum);
    sum = esp_add_pairs(odd, esp_odd_bytes(y, 1), sum);
  }
  return sum;
}
#endif

/* As ESP_MATMUL_INTEGER; b's bytes are read as rows of signed ones. */
static inline void esp_matmul_int8(const esp_matmul* p, int i, const void* a, int flip, int zero,
                                   const int8_t* b, int32_t* sums) {
  enum { most = 32 };
  const uint8_t* row = (const uint8_t*)a + i * p->a_row;
  int16_t part[most];
  int j, l;
  for (j = 0; j < p->columns; ++j) sums[j] = 0;
  if (p->b_row == 1) {
    for (j = 0; j < p->columns; ++j, b += p->b_column) {
      l = 0;
#ifdef ESP_PAIRS
      if (p->a_column == 1) {
        sums[j] = flip ? esp_dot_pairs(row, b, p->inner, 1, zero, 0)
                       : esp_dot_pairs(row, b, p->inner, 0, zero, 0);
        l = p->inner & ~3;
      }
#endif
      for (; l < p->inner; ++l) sums[j] += ((row[l * p->a_column] ^ flip) - zero) * b[l];
    }
    return;
  }
  for (l = 0; l < p->inner; l += most, b += most * p->b_row) {
    const int rows = p->inner - l < most ? p->inner - l : most;
    for (j = 0; j < rows; ++j) part[j] = (int16_t)((row[(l + j) * p->a_column] ^ flip) - zero);
    esp_matmul_rows(sums, (const uint8_t*)b, p->b_row, p->b_column, p->columns, 128, 128, part, 1,
                    rows);
  }
}

#endif
