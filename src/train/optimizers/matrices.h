// What optimisers of matrices share: parameters as matrices, numbers of the step, moving means.
#pragma once

#include "train/optimizer.h"

namespace espalier {

/// Values that optimisers compute from a parameter's step, each written once where it is asked for.
class MatrixStep {
 public:
  explicit MatrixStep(ParameterStep& p) : p_(p), b_(p.builder()) {}

  Builder& builder() { return b_; }
  /// The parameter as a matrix: its first axis and the rest.
  int64_t rows() const { return p_.shape()[0]; }
  int64_t columns() const;
  bool is_matrix() const { return p_.shape().size() >= 2; }
  /// The gradient [rows, columns] in f32; of vectors as it is.
  ValueId gradient();
  /// Number of the step, f32 [].
  ValueId number();
  /// 1 / (1 - beta^t), f32 [], after `skipped` steps that did not count.
  ValueId unbias(double beta, int64_t skipped = 0);
  /// mean' = beta mean + (1 - beta) fresh of a state, which becomes that.
  ValueId moved(ValueId mean, double beta, ValueId fresh);
  /// a b, with either transposed.
  ValueId product(ValueId a, ValueId b, bool transpose_a = false, bool transpose_b = false);
  /// p (1 - rate decay) - rate update, for an update of the parameter's or of the matrix' shape;
  /// without decay if not `decays`.
  ValueId applied(ValueId update, bool decays = true);
  /// The update of Adam for any gradient (f32) whose moments are the states given, times `keep`
  /// (f32 [], where there is one) before they are used; `number` counts the steps (i64 []) from 1.
  ValueId adam(ValueId gradient, ValueId first, ValueId second, ValueId number,
               ValueId keep = kNoValue);

 private:
  ParameterStep& p_;
  Builder b_;
  ValueId gradient_ = kNoValue, number_ = kNoValue;
};

/// A step of AdamW on the whole parameter: states "first" and "second", settings beta1, beta2 and
/// epsilon.
ValueId adamw_step(ParameterStep& p);
/// Those settings.
std::vector<Setting> adam_settings(double beta1, double beta2);

}  // namespace espalier
