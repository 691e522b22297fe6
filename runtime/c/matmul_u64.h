#ifndef ESP_MATMUL_U64_H
#define ESP_MATMUL_U64_H

#include "matmul.h"

ESP_MATMUL(esp_matmul_u64, uint64_t, uint64_t)

#endif
