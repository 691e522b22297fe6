#ifndef ESP_CONV_INT16_H
#define ESP_CONV_INT16_H

#include "conv_integer.h"

ESP_CONV_INTEGER(esp_conv_int16, int16_t)

#endif
