/* Rows of 8-bit numbers times integer weights: to[i] += the sum over planes c of
   w[c * w_step] * x[c * plane + i * step], for count i. The number behind a byte is
   (byte ^ flip) - zero (see conv_integer.h). */
#ifndef ESP_ROWS_INTEGER_H
#define ESP_ROWS_INTEGER_H

#include <stdint.h>
#include <string.h>

/* Cortex-M processors with 16-bit products in pairs, without a header of the compiler's. */
#if defined(__ARM_FEATURE_SIMD32) && defined(__GNUC__) && __ARM_ARCH_PROFILE == 'M'
#define ESP_PAIRS
/* Bytes 0 and 2 of a word as two 16-bit numbers; those of 1 and 3 with a rotation before. Bytes
   whose sign is flipped are signed, with 128 less in the zero point. */
static inline uint32_t esp_even_bytes(uint32_t word, int is_signed) {
  uint32_t pair;
  if (is_signed)
    __asm__("sxtb16 %0, %1" : "=r"(pair) : "r"(word));
  else
    __asm__("uxtb16 %0, %1" : "=r"(pair) : "r"(word));
  return pair;
}
static inline uint32_t esp_odd_bytes(uint32_t word, int is_signed) {
  uint32_t pair;
  if (is_signed)
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(word));
  else
    __asm__("uxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(word));
  return pair;
}
static inline int32_t esp_add_pairs(uint32_t x, uint32_t y, int32_t sum) {
  int32_t result;
  __asm__("smlad %0, %1, %2, %3" : "=r"(result) : "r"(x), "r"(y), "r"(sum));
  return result;
}
static inline uint32_t esp_low_halves(uint32_t x, uint32_t y) {
  uint32_t pair;
  __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(pair) : "r"(x), "r"(y));
  return pair;
}
static inline uint32_t esp_high_halves(uint32_t x, uint32_t y) {
  uint32_t pair;
  __asm__("pkhtb %0, %1, %2, asr #16" : "=r"(pair) : "r"(y), "r"(x));
  return pair;
}
#endif

#ifdef ESP_PAIRS
/* The first numbers of a row, four by four, planes in pairs: how many were done. */
#define ESP_ROWS_IN_PAIRS(NAME, W)                                                                \
  static inline int NAME##_pairs(int32_t* to, const uint8_t* x, int plane, int count,             \
                                 int is_signed, int zero, const W* w, int w_step, int planes) {   \
    int i = 0, c;                                                                                 \
    int32_t offset = 0;                                                                           \
    for (c = 0; c < planes; ++c) offset -= w[c * w_step];                                         \
    offset *= zero - (is_signed ? 128 : 0);                                                       \
    for (; i + 4 <= count; i += 4, to += 4, x += 4) {                                             \
      const uint8_t* from = x;                                                                    \
      const W* by = w;                                                                            \
      int32_t s0 = to[0] + offset, s1 = to[1] + offset, s2 = to[2] + offset, s3 = to[3] + offset; \
      for (c = planes; c >= 2; c -= 2, from += 2 * plane, by += 2 * w_step) {                     \
        uint32_t a, b, a_even, b_even, a_odd, b_odd;                                              \
        const uint32_t pair = esp_low_halves((uint32_t)by[0], (uint32_t)by[w_step]);              \
        memcpy(&a, from, 4);                                                                      \
        memcpy(&b, from + plane, 4);                                                              \
        a_even = esp_even_bytes(a, is_signed);                                                    \
        b_even = esp_even_bytes(b, is_signed);                                                    \
        a_odd = esp_odd_bytes(a, is_signed);                                                      \
        b_odd = esp_odd_bytes(b, is_signed);                                                      \
        s0 = esp_add_pairs(esp_low_halves(a_even, b_even), pair, s0);                             \
        s1 = esp_add_pairs(esp_low_halves(a_odd, b_odd), pair, s1);                               \
        s2 = esp_add_pairs(esp_high_halves(a_even, b_even), pair, s2);                            \
        s3 = esp_add_pairs(esp_high_halves(a_odd, b_odd), pair, s3);                              \
      }                                                                                           \
      if (c) {                                                                                    \
        uint32_t a, even, odd;                                                                    \
        const uint32_t low = (uint16_t)by[0], high = low << 16;                                   \
        memcpy(&a, from, 4);                                                                      \
        even = esp_even_bytes(a, is_signed);                                                      \
        odd = esp_odd_bytes(a, is_signed);                                                        \
        s0 = esp_add_pairs(even, low, s0);                                                        \
        s1 = esp_add_pairs(odd, low, s1);                                                         \
        s2 = esp_add_pairs(even, high, s2);                                                       \
        s3 = esp_add_pairs(odd, high, s3);                                                        \
      }                                                                                           \
      to[0] = s0;                                                                                 \
      to[1] = s1;                                                                                 \
      to[2] = s2;                                                                                 \
      to[3] = s3;                                                                                 \
    }                                                                                             \
    return i;                                                                                     \
  }
#define ESP_FIRST_IN_PAIRS(NAME)                                                           \
  if (step == 1) {                                                                         \
    const int done = flip ? NAME##_pairs(to, x, plane, count, 1, zero, w, w_step, planes)  \
                          : NAME##_pairs(to, x, plane, count, 0, zero, w, w_step, planes); \
    to += done;                                                                            \
    x += done;                                                                             \
    count -= done;                                                                         \
  }
#else
#define ESP_ROWS_IN_PAIRS(NAME, W)
#define ESP_FIRST_IN_PAIRS(NAME)
#endif

#define ESP_ROWS_INTEGER(NAME, W)                                                                  \
  ESP_ROWS_IN_PAIRS(NAME, W)                                                                       \
  static inline void NAME(int32_t* to, const uint8_t* x, int plane, int step, int count, int flip, \
                          int zero, const W* w, int w_step, int planes) {                          \
    int c, i;                                                                                      \
    ESP_FIRST_IN_PAIRS(NAME)                                                                       \
    for (c = 0; c < planes; ++c, x += plane, w += w_step) {                                        \
      const int by = *w;                                                                           \
      if (step == 1)                                                                               \
        for (i = 0; i < count; ++i) to[i] += by * ((x[i] ^ flip) - zero);                          \
      else                                                                                         \
        for (i = 0; i < count; ++i) to[i] += by * ((x[i * step] ^ flip) - zero);                   \
    }                                                                                              \
  }

#endif
