#ifndef ESP_MATMUL_U32_H
#define ESP_MATMUL_U32_H

#include "matmul.h"

ESP_MATMUL(esp_matmul_u32, uint32_t, uint32_t)

#endif
