#ifndef ESP_MATMUL_I64_H
#define ESP_MATMUL_I64_H

#include "matmul.h"

ESP_MATMUL(esp_matmul_i64, int64_t, uint64_t)

#endif
