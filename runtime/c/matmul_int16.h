#ifndef ESP_MATMUL_INT16_H
#define ESP_MATMUL_INT16_H

#include "matmul_integer.h"

ESP_MATMUL_INTEGER(esp_matmul_int16, int16_t)

#endif
