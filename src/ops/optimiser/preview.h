// What the training steps of ai.onnx.preview.training share. Their operands are the learning rate
// R, the number T of the steps before (an i64), then for several tensors at once all X, all
// gradients and, kind by kind, all moments; their results are the new X and moments in the same
// order. They run as what they expand to.
#pragma once

#include "ops/optimiser/step.h"

namespace espalier::ops {

inline constexpr const char* kPreviewDomain = "ai.onnx.preview.training";

/// Operands of one tensor: X, its gradient, its moments.
using Group = Values;

/// Checks operands with `moments` moments for each tensor; the results' types.
Types infer_preview(const TypesIn& in, size_t moments);
/// Calls step(group) for each tensor, whose answer is its new X and moments, and orders what they
/// answer as the operator's results.
Values expand_preview(const Values& in, size_t moments,
                      const std::function<Values(const Group&)>& step);
/// Every axis of an X ties to those of its gradient and moments: zeros stay zero.
AxisMap preview_axes(const TypesIn& in, size_t moments);

/// norm_coefficient * X + G.
ValueId regularized(Builder& b, const Group& g, float norm_coefficient);
/// R or T as a scalar of X's element type.
ValueId number_like(Builder& b, ValueId number, ValueId x);

/// Samples: one tensor, and two of different shapes. The last moment is never negative.
template <class A>
std::vector<SampleOf<A>> preview_samples(const A& attrs, size_t moments) {
  const auto scalar = [](auto v) { return OperandSpec::fixed(Tensor::scalar(v)); };
  std::vector<SampleOf<A>> samples;
  for (const auto& shapes : {std::vector<Shape>{{3}}, std::vector<Shape>{{2, 3}, {2}}}) {
    SampleOf<A> s{attrs, {scalar(0.1f), scalar(int64_t(samples.size()))}};
    for (size_t kind = 0; kind < 2 + moments; ++kind)
      for (const Shape& shape : shapes)
        s.inputs.push_back(OperandSpec::ranged(shape, kind == 1 + moments ? 0.5 : -1, 1));
    samples.push_back(std::move(s));
  }
  return samples;
}

}  // namespace espalier::ops
