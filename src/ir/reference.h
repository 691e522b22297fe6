// How reference kernels see tensors. A reference is written once as a template on Real:
//
//   template <class Real>
//   void reference(const LeakyRelu& a, Ref<Real>& r) {
//     auto x = r.real(0);
//     auto y = r.out_real(0);
//     for (size_t i = 0; i < x.size(); ++i) y[i] = x[i] >= 0 ? x[i] : a.alpha * x[i];
//   }
//
// Floats of any width are presented as Real (double where an operand is f64, else float), integers
// and booleans as int64_t (u64 keeps its bits). Results are rounded or wrapped back to their types.
// A result whose extents are still open when every operand is known gets them from `resize`.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ir/datum.h"
#include "ir/facets.h"
#include "tensor/tensor.h"

namespace espalier {

template <class Real>
class Ref {
 public:
  /// A null pointer stands for an omitted operand. `results` as inference gives them.
  Ref(std::span<const Datum* const> inputs, const Types& results);

  size_t inputs() const { return in_.size(); }
  size_t outputs() const { return out_.size(); }
  bool has(size_t i) const { return i < in_.size() && in_[i]; }
  const Shape& shape(size_t i) const { return in_at(i).shape(); }
  DType dtype(size_t i) const { return in_at(i).dtype(); }
  bool is_real(size_t i) const { return is_float(in_at(i).dtype()); }
  std::span<const Real> real(size_t i);
  std::span<const int64_t> ints(size_t i);
  const Tensor& tensor(size_t i) const { return in_at(i); }
  /// Operand i, tensor or not.
  const Datum& datum(size_t i) const;

  /// The type of result o; its extents may be open.
  const Type& out_type(size_t o) const { return types_[o]; }
  const Shape& out_shape(size_t o) const { return out_[o].shape(); }
  DType out_dtype(size_t o) const { return out_[o].dtype(); }
  bool out_is_real(size_t o) const { return is_float(out_[o].dtype()); }
  std::span<Real> out_real(size_t o);
  std::span<int64_t> out_ints(size_t o);
  /// For operators that move bytes whatever they mean.
  Tensor& out_tensor(size_t o) { return out_[o]; }
  /// Gives result o the shape that followed from data, filled with zeros.
  void resize(size_t o, Shape shape);
  /// Gives result o as a whole: a sequence, an optional, a tensor of any shape.
  void give(size_t o, Datum datum);

  /// Calls f(x0, x1, …, y) with the spans of the given operands and result 0, all real or all
  /// integer as operand `slots[0]` is; for operators defined alike on both.
  template <class F>
  void visit1(F&& f) {
    if (is_real(0))
      f(real(0), out_real(0));
    else
      f(ints(0), out_ints(0));
  }

  /// The results, those that were widened in their own types again. Called by run_reference.
  std::vector<Datum> finish();

 private:
  const Tensor& in_at(size_t i) const { return datum(i).tensor(); }
  std::vector<const Datum*> in_;
  Types types_;
  std::vector<Tensor> out_;
  std::vector<std::optional<Datum>> given_;
  std::vector<std::vector<Real>> real_in_, real_out_;
  std::vector<std::vector<int64_t>> int_in_, int_out_;
};

extern template class Ref<float>;
extern template class Ref<double>;

/// Runs a room's reference (or its expansion's) on concrete operands, null where omitted. Results
/// are typed and, where that does not depend on data, sized by inference; throws UserError if the
/// room refuses the facet.
std::vector<Datum> run_reference(const Room& room, const Attributes& attrs,
                                 std::span<const Datum* const> inputs,
                                 const std::string& where = "");
/// The same where operands and results are tensors.
std::vector<Tensor> run_reference(const Room& room, const Attributes& attrs,
                                  std::span<const Tensor* const> inputs,
                                  const std::string& where = "");

/// Result types of an operator for concrete operands, whose values inference sees.
Types types_for(const Room& room, const Attributes& attrs, std::span<const Datum* const> inputs,
                const std::string& where);

}  // namespace espalier
