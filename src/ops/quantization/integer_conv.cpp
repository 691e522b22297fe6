#include "ops/quantization/integer_conv.h"

namespace espalier::ops {

std::vector<Field> integer_conv_fields() {
  return {{"auto_pad", &IntegerConv::auto_pad}, {"dilations", &IntegerConv::dilations},
          {"group", &IntegerConv::group},       {"kernel_shape", &IntegerConv::kernel_shape},
          {"pads", &IntegerConv::pads},         {"strides", &IntegerConv::strides}};
}

ValueId convolved(const IntegerConv& a, Builder& b, ValueId x, ValueId weight, ValueId bias) {
  AttributeMap attributes = {{"auto_pad", a.auto_pad}, {"group", a.group}};
  const auto set = [&](const char* name, const std::vector<int64_t>& list) {
    if (!list.empty()) attributes.emplace(name, list);
  };
  set("dilations", a.dilations);
  set("kernel_shape", a.kernel_shape);
  set("pads", a.pads);
  set("strides", a.strides);
  Values operands = {x, weight};
  if (bias != kNoValue) operands.push_back(bias);
  return b.one("Conv", operands, attributes);
}

Conv plain_conv(const IntegerConv& a) {
  return {{a.kernel_shape, a.strides, a.dilations, a.pads, a.auto_pad}, a.group};
}

}  // namespace espalier::ops
