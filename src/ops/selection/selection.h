// What rooms share whose result's size depends on data.
#pragma once

#include "ops/shape/move.h"

namespace espalier::ops {

inline Refuse no_gradient_of_selection() {
  return Refuse{"its result's size depends on data, and training steps have fixed sizes"};
}

/// Calls f(x) with the elements of operand i as they compare: reals, integers or strings.
template <class Real, class F>
void visit_elements(Ref<Real>& r, size_t i, F&& f) {
  if (r.dtype(i) == DType::string)
    f(r.tensor(i).template span<std::string>());
  else if (r.is_real(i))
    f(r.real(i));
  else
    f(r.ints(i));
}

}  // namespace espalier::ops
