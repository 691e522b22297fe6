#ifndef ESP_MATMUL_F64_H
#define ESP_MATMUL_F64_H

#include "matmul.h"

ESP_MATMUL(esp_matmul_f64, double, double)

#endif
