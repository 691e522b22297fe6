// What the rooms of convolutions share: attributes, inference, the loop over planes.
#pragma once

#include "ops/window.h"

namespace espalier::ops {

/// Attributes of Conv and of its two gradients.
struct Conv : Window {
  int64_t group = 1;
};
std::vector<Field> conv_fields();

/// The type of Conv(x, w). UserError where they do not fit together.
TensorType conv_result(const TypesIn& in, const Conv& a, const TensorType& x, const TensorType& w);
/// The attributes with every list written out, where the operands' spatial extents are numbers.
Conv resolved(const Conv& a, const TensorType& x, const TensorType& w);
/// For static shapes of the convolution's operand and weight.
Geometry conv_geometry(const Conv& a, const Shape& x, const Shape& w);
/// Multiply-accumulates of a convolution with results of type y.
double conv_macs(const TensorType& y, const TensorType& w);

/// Calls body(x_plane, y_plane, w_plane) for every pair of planes a convolution joins: plane
/// numbers count [batch, channel] of operand and result and [result channel, channel in its group]
/// of the weight.
template <class Body>
void for_each_plane_pair(const Shape& x, const Shape& w, int64_t group, Body body) {
  const int64_t results = w[0], per_group = w[1], results_per_group = results / group;
  for (int64_t n = 0; n < x[0]; ++n)
    for (int64_t m = 0; m < results; ++m)
      for (int64_t c = 0; c < per_group; ++c)
        body(n * x[1] + m / results_per_group * per_group + c, n * results + m, m * per_group + c);
}

/// The convolution as runtime/c/conv.h takes it.
std::string conv_in_c(const Conv& a, const Shape& x, const Shape& w);

}  // namespace espalier::ops
