#ifndef ESP_CONV_INT8_H
#define ESP_CONV_INT8_H

#include "conv_integer.h"

ESP_CONV_INTEGER(esp_conv_int8, int8_t)

#endif
