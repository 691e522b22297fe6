// What the training steps of ai.onnx.preview.training share. Their operands are the learning rate
// R, the number T of the steps before (an i64), then for several tensors at once all X, all
// gradients and, kind by kind, all moments; their results are the new X and moments in the same
// order. They run as what they expand to.
#pragma once

#include "ops/optimiser/step.h"

namespace espalier::ops {

/// One tensor's part of a step; rate and count are scalars of X's element type.
struct PreviewStep {
  ValueId rate, count;  ///< R and T
  ValueId x;
  ValueId g;  ///< the gradient, with norm_coefficient * X added
  Values moments;
};

/// A training step, from the little that distinguishes it. A has a norm_coefficient.
template <class A>
struct PreviewOp {
  std::string name;
  size_t moments;  ///< for each tensor
  std::vector<Field> attributes;
  Values (*step)(const A& a, Builder& b, const PreviewStep& s);  ///< the new X and moments
  std::vector<A> samples;  ///< the first for one tensor, the others for two of different shapes
  void (*check)(const A& a, const TypesIn& in) = nullptr;  ///< of attributes
};

/// Checks operands with `moments` moments for each tensor; the results' types.
Types infer_preview(const TypesIn& in, size_t moments);
/// Calls step(s) for each tensor and orders what it answers as the operator's results.
Values expand_preview(Builder& b, const Values& in, size_t moments, float norm_coefficient,
                      const std::function<Values(const PreviewStep&)>& step);
/// Every axis of an X ties to those of its gradient and moments: zeros stay zero.
AxisMap preview_axes(const TypesIn& in, size_t moments);
/// Operands at step T for tensors of those shapes. The last moment is never negative.
std::vector<OperandSpec> preview_operands(const std::vector<Shape>& shapes, size_t moments,
                                          int64_t count);

template <class A>
Room preview_room(PreviewOp<A> op) {
  const size_t moments = op.moments;
  std::vector<SampleOf<A>> samples;
  for (const A& attrs : op.samples) {
    const std::vector<Shape> shapes =
        samples.empty() ? std::vector<Shape>{{3}} : std::vector<Shape>{{2, 3}, {2}};
    samples.push_back({attrs, preview_operands(shapes, moments, int64_t(samples.size()))});
  }
  const int tensors = int(moments) + 1;  // X and moments
  return make_room<A>({
      .onnx = {op.name, 1, "ai.onnx.preview.training"},
      .arity = {3 + tensors, kVariadic, tensors, kVariadic},
      .attributes = op.attributes,
      .infer = [moments, check = op.check](const A& a, const TypesIn& in) -> Types {
        if (check) check(a, in);
        return infer_preview(in, moments);
      },
      .reference = Derive{},
      .gradient = step_gradient(),
      .cost = Derive{},
      .axes = [moments](const A&, const TypesIn& in,
                        const Types&) { return preview_axes(in, moments); },
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = [moments, step = op.step](const A& a, Builder& b, const Values& in) -> Values {
        return expand_preview(b, in, moments, a.norm_coefficient,
                              [&](const PreviewStep& s) { return step(a, b, s); });
      },
      .emit = Refuse{"is not written in C yet"},
      .samples = samples,
  });
}

}  // namespace espalier::ops
