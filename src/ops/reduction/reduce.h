// What reductions share: which axes go, the loop over them, and how axes tie.
#pragma once

#include "ops/common.h"

namespace espalier::ops {

/// Attributes of the reductions that name their axes in an attribute (ONNX opset 13). Without axes
/// every axis is reduced.
struct Reduce {
  std::vector<int64_t> axes;
  bool keepdims = true;
};

/// Which axes of operand 0 are reduced.
std::vector<bool> reduced_mask(const Reduce& a, const TypesIn& in);
/// Dimensions after the marked axes were reduced.
Dims reduced_dims(const Dims& dims, const std::vector<bool>& mask, bool keepdims);
/// Inference of a reduction that keeps the element type.
Types infer_reduce(const Reduce& a, const TypesIn& in);
/// The same for reductions defined on booleans too.
Types infer_reduce_order(const Reduce& a, const TypesIn& in);
/// The same for reductions defined on floats alone.
Types infer_reduce_float(const Reduce& a, const TypesIn& in);

/// What a reduction does along the axes it removes.
enum class ReducedAxis : uint8_t {
  kContracts,   ///< zero is neutral: indices may be cut
  kReadsWhole,  ///< indices may be cut if the masked twin leaves them out too
  kFixed,       ///< nothing may be cut
};
/// Kept axes tie to the result; zero operand slices give zero result slices if `zero_passes`.
AxisMap reduced_ties(const TypesIn& in, const std::vector<bool>& mask, bool keepdims,
                     ReducedAxis reduced, bool zero_passes);

/// A gradient of the reduced shape with the reduced axes back as extents of 1.
ValueId unreduced(Builder& b, ValueId v, const std::vector<bool>& mask, bool keepdims);
/// ReduceSum over the attribute's axes.
ValueId sum_over(const Reduce& a, Builder& b, ValueId v);
/// The gradient of a maximum or minimum: dy goes to the elements equal to the result, shared among
/// them.
ValueId gradient_to_extremes(const Reduce& a, Builder& b, const Tape& t);
/// The mask for a tape's operand 0.
std::vector<bool> reduced_mask(const Reduce& a, const Tape& t);

/// Calls f(i, o) for every operand element i, in order, with the result element o it goes into.
template <class F>
void for_each_reduced(const Shape& shape, const std::vector<bool>& mask, F f) {
  std::vector<int64_t> strides(shape.size(), 0);
  int64_t step = 1;
  for (size_t d = shape.size(); d-- > 0;) {
    if (mask[d]) continue;
    strides[d] = step;
    step *= shape[d];
  }
  for_each_offset<1>(shape, {strides}, [&](int64_t i, const std::array<int64_t, 1>& o) {
    f(size_t(i), size_t(o[0]));
  });
}

/// Samples over one axis, several and all, with elements in [lo, hi].
std::vector<SampleOf<Reduce>> reduction_samples(double lo, double hi);

/// The mask for concrete operands of an attribute-form reduction.
std::vector<bool> reduced_mask(const Reduce& a, int64_t rank);

/// y[o] = finish(fold over x of step(accumulator, x), how many), starting from `start`. Floats
/// accumulate in double, integers in 64 bits.
template <class Real, class Step, class Finish>
void reduce_loop(Ref<Real>& r, const std::vector<bool>& mask, Step step, Finish finish) {
  const auto run = [&](auto x, auto y, auto accumulator) {
    using Wide = decltype(accumulator);
    std::vector<Wide> sum(y.size(), step.template start<Wide>());
    for_each_reduced(r.shape(0), mask,
                     [&](size_t i, size_t o) { sum[o] = step(sum[o], Wide(x[i])); });
    const auto each = int64_t(y.empty() ? 0 : x.size() / y.size());
    for (size_t o = 0; o < y.size(); ++o)
      y[o] = static_cast<std::remove_cvref_t<decltype(y[o])>>(finish(sum[o], each));
  };
  if (r.is_real(0))
    run(r.real(0), r.out_real(0), double{});
  else
    run(r.ints(0), r.out_ints(0), int64_t{});
}

/// The step of sums.
struct SumStep {
  template <class Wide>
  Wide start() const {
    return 0;
  }
  template <class Wide>
  Wide operator()(Wide sum, Wide x) const {
    return sum + x;
  }
};

/// A reduction in C, in the words of CWriter::reduce. Floats are folded in their own type, integers
/// in 64 bits.
void emit_reduce(CWriter& c, const std::vector<bool>& mask, const std::string& init,
                 const std::string& step, const std::string& finish = "acc");

}  // namespace espalier::ops
