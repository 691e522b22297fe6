// What SOAP and Shampoo share: second moments of a matrix' rows and columns, and their settings.
#pragma once

#include <functional>
#include <optional>

#include "train/optimizers/matrices.h"

namespace espalier {

/// The left (g g^T) and right (g^T g) second moments of a parameter's gradient, of the sides that
/// are not too long, each with a matrix that is renewed from it now and then.
class Preconditioner {
 public:
  Preconditioner(ParameterStep& p, MatrixStep& m);

  /// Whether both sides are too long, or the parameter is a vector.
  bool none() const { return !left_ && !right_; }
  bool both() const { return left_ && right_; }
  /// left^T x right (or, unless `transpose`, left x right^T) of the matrices before they are
  /// renewed, each where its side has one.
  ValueId between(ValueId x, bool transpose);
  /// Moves the moments by the gradient and renews the matrices by what `renewed` appends for a
  /// matrix and its moment; between() takes those only after `use_renewed`.
  void renew(const std::function<ValueId(ValueId matrix, ValueId moment)>& renewed,
             bool use_renewed);

  /// The largest side that has a moment.
  static Setting side_setting();
  static Setting every_setting();

 private:
  struct Side {
    ValueId moment, matrix;
  };
  Side side(const char* name, int64_t n);

  ParameterStep& p_;
  MatrixStep& m_;
  std::optional<Side> left_, right_;
};

}  // namespace espalier
