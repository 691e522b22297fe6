// What the rooms of pools share: attributes, inference, axes.
#pragma once

#include "ops/window.h"

namespace espalier::ops {

/// Attributes of MaxPool and MaxPoolGrad.
struct MaxPool : Window {
  bool ceil_mode = false;
  /// Order in which Indices count the spatial positions of a plane: 0 row-major, 1 column-major.
  int64_t storage_order = 0;
};
std::vector<Field> max_pool_fields();

/// Attributes of AveragePool and AveragePoolGrad.
struct AveragePool : Window {
  bool ceil_mode = false;
  /// Padding counts as elements of the window (of value 0).
  bool count_include_pad = false;
};
std::vector<Field> average_pool_fields();

/// The dimensions of a pool's result over x.
Dims pool_dims(const TypesIn& in, const Window& w, bool ceil_mode, const TensorType& x);
/// The geometry of a pool over a static shape.
template <class A>
Geometry pool_geometry(const A& a, const Shape& x) {
  return geometry(a, spatial_shape(x), a.kernel_shape, a.ceil_mode);
}
/// The attributes with pads written out, where x's spatial extents are numbers.
template <class A>
A resolved_pool(A a, const TensorType& x) {
  static_cast<Window&>(a) =
      resolved(a, spatial_dims(x), Dims(a.kernel_shape.begin(), a.kernel_shape.end()), a.ceil_mode);
  return a;
}
/// A window that covers the whole of x's spatial extents; UserError if they are symbolic.
Window whole_window(const TensorType& x, const std::string& where);

/// x of a global pool with its spatial extents 1.
Types global_pool_result(const TypesIn& in);
/// Batch and channel pass; spatial axes are disconnected.
AxisMap pool_axes(const TypesIn& in);
/// One operation for each element of each window.
Cost pool_cost(const TypesIn& in, const Types& out, const std::vector<int64_t>& kernel);

/// How many elements each result of an average divides by, over one plane.
std::vector<int64_t> window_counts(const Geometry& g, bool count_include_pad);
/// The same in C, nowhere below 1.
struct Divisors {
  std::string table;  ///< of floats, one for each result of a plane; empty where all are alike
  std::string alike;  ///< the number they then are; else "0"
};
Divisors divisors_in_c(CWriter& c, const std::vector<int64_t>& counts);

}  // namespace espalier::ops
