// Attributes that the integer convolutions hand on to Conv.
#pragma once

#include "ops/linear/conv.h"
#include "ops/quantization/integer.h"

namespace espalier::ops {

struct IntegerConv {
  std::string auto_pad = "NOTSET";
  std::vector<int64_t> dilations, kernel_shape, pads, strides;
  int64_t group = 1;
};

std::vector<Field> integer_conv_fields();
/// The attributes as Conv has them.
Conv plain_conv(const IntegerConv& a);
/// The f64 convolution of centred operands, with a bias unless it is kNoValue.
ValueId convolved(const IntegerConv& a, Builder& b, ValueId x, ValueId weight, ValueId bias);

}  // namespace espalier::ops
