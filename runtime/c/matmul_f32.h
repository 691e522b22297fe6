#ifndef ESP_MATMUL_F32_H
#define ESP_MATMUL_F32_H

#include "matmul.h"

ESP_MATMUL(esp_matmul_f32, float, float)

#endif
