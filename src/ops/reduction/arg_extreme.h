// What ArgMax and ArgMin share.
#pragma once

#include "ops/reduction/reduce.h"

namespace espalier::ops {

struct ArgExtreme {
  int64_t axis = 0;
  bool keepdims = true;
  bool select_last_index = false;
};

Types infer_arg_extreme(const ArgExtreme& a, const TypesIn& in);
Cost arg_extreme_cost(const ArgExtreme&, const TypesIn& in, const Types& out);
AxisMap arg_extreme_axes(const ArgExtreme& a, const TypesIn& in, const Types&);

/// Indices of the extreme elements, `better(x, best)` being the comparison.
template <class Real, class Better>
void arg_extreme(const ArgExtreme& a, Ref<Real>& r, Better better) {
  const Shape& shape = r.shape(0);
  const auto axis = size_t(a.axis < 0 ? a.axis + int64_t(shape.size()) : a.axis);
  const int64_t extent = shape[axis], inner = product(shape, axis + 1, shape.size());
  const auto run = [&](auto x, std::span<int64_t> y) {
    for (size_t o = 0; o < y.size(); ++o) {
      const auto* row = x.data() + int64_t(o) / inner * inner * extent + int64_t(o) % inner;
      int64_t at = 0;
      for (int64_t k = 1; k < extent; ++k) {
        const auto here = row[k * inner], best = row[at * inner];
        if (better(here, best) || (a.select_last_index && here == best)) at = k;
      }
      y[o] = at;
    }
  };
  if (r.is_real(0))
    run(r.real(0), r.out_ints(0));
  else
    run(r.ints(0), r.out_ints(0));
}

/// The same in C.
void emit_arg_extreme(const ArgExtreme& a, CWriter& c, const std::string& better);

}  // namespace espalier::ops
