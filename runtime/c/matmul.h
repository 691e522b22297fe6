/* y[i][j] = add + alpha * sum over l of a[i][l] * b[l][j], where `add` is what y holds if `adds`,
   else 0. a and b are walked by the steps between their rows and columns; y is row-major. */
#ifndef ESP_MATMUL_H
#define ESP_MATMUL_H

#include <stdint.h>

typedef struct {
  int rows, inner, columns;
  int a_row, a_column, b_row, b_column;
  int adds;
} esp_matmul;

/* Sums of integers wrap: they are taken in unsigned numbers. */
#define ESP_MATMUL(NAME, T, SUM)                                                                \
  static inline void NAME(const esp_matmul* p, const T* a, const T* b, SUM alpha, T* y) {       \
    for (int i = 0; i < p->rows; ++i, y += p->columns) {                                        \
      const T* row = a + i * p->a_row;                                                          \
      if (!p->adds)                                                                             \
        for (int j = 0; j < p->columns; ++j) y[j] = 0;                                          \
      if (p->b_row == 1) {                                                                      \
        for (int j = 0; j < p->columns; ++j) {                                                  \
          const T* column = b + j * p->b_column;                                                \
          SUM sum = 0;                                                                          \
          for (int l = 0; l < p->inner; ++l) sum += (SUM)row[l * p->a_column] * (SUM)column[l]; \
          y[j] = (T)((SUM)y[j] + alpha * sum);                                                  \
        }                                                                                       \
      } else {                                                                                  \
        for (int l = 0; l < p->inner; ++l) {                                                    \
          const SUM by = alpha * (SUM)row[l * p->a_column];                                     \
          const T* line = b + l * p->b_row;                                                     \
          if (p->b_column == 1)                                                                 \
            for (int j = 0; j < p->columns; ++j) y[j] = (T)((SUM)y[j] + by * (SUM)line[j]);     \
          else                                                                                  \
            for (int j = 0; j < p->columns; ++j)                                                \
              y[j] = (T)((SUM)y[j] + by * (SUM)line[j * p->b_column]);                          \
        }                                                                                       \
      }                                                                                         \
    }                                                                                           \
  }

#endif
