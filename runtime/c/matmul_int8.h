#ifndef ESP_MATMUL_INT8_H
#define ESP_MATMUL_INT8_H

#include "matmul_integer.h"

ESP_MATMUL_INTEGER(esp_matmul_int8, int8_t)

#endif
