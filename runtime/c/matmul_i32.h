#ifndef ESP_MATMUL_I32_H
#define ESP_MATMUL_I32_H

#include "matmul.h"

ESP_MATMUL(esp_matmul_i32, int32_t, uint32_t)

#endif
