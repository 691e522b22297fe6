// What rooms share that keep a matrix of an optimiser's and renew it at some steps: the operands
// (matrix, source, step []), the result the matrix. Renewing is done in double.
#pragma once

#include <vector>

#include "ops/common.h"

namespace espalier::ops {

/// Refuses a step that is no i64 [], and periods below 1.
void require_step(const TypesIn& in, size_t slot, int64_t every);
/// The step's number. UserError below 1.
int64_t step_number(const Tensor& step, const char* where);

/// For a square matrix and a source of its shape.
Types infer_square_refresh(const TypesIn& in, int64_t every);

/// Result 0 is operand 0, or what `renew` makes of it where `due`.
template <class Real, class Renew>
void kept_or_renewed(Ref<Real>& r, bool due, Renew renew) {
  const auto kept = r.real(0);
  std::vector<double> matrix(kept.begin(), kept.end());
  if (due) {
    const auto source = r.real(1);
    renew(std::vector<double>(source.begin(), source.end()), matrix);
  }
  std::ranges::transform(matrix, r.out_real(0).begin(), [](double v) { return Real(v); });
}

/// What the matrices are for mixes all their directions, so nothing may be cut.
inline AxisMap no_axes() { return {}; }

}  // namespace espalier::ops
