#include "kernels/onednn_epilogue.h"

#include <cstring>

namespace espalier::kernels {

using dnnl::algorithm;

void refuse_reference(const char* implementation) {
  if (std::strncmp(implementation, "ref", 3) == 0)
    throw NoPrimitive{std::string("oneDNN has only its reference (") + implementation + ")"};
}

namespace {

void append_scalar(const ScalarOp& op, dnnl::post_ops& post) {
  const auto add = [&](algorithm a, float alpha = 0, float beta = 0) {
    post.append_eltwise(1, a, alpha, beta);
  };
  switch (op.code) {
    case ScalarCode::kIdentity: return;
    case ScalarCode::kRelu: return add(algorithm::eltwise_relu);
    case ScalarCode::kLeakyRelu: return add(algorithm::eltwise_relu, op.p0);
    case ScalarCode::kClip: return add(algorithm::eltwise_clip, op.p0, op.p1);
    case ScalarCode::kTanh: return add(algorithm::eltwise_tanh);
    case ScalarCode::kSigmoid: return add(algorithm::eltwise_logistic);
    case ScalarCode::kHardSwish: return add(algorithm::eltwise_hardswish);
    case ScalarCode::kGelu: return add(algorithm::eltwise_gelu_erf);
    case ScalarCode::kGeluTanh: return add(algorithm::eltwise_gelu_tanh);
    case ScalarCode::kSilu: return add(algorithm::eltwise_swish, 1);
    case ScalarCode::kElu: return add(algorithm::eltwise_elu, op.p0);
    case ScalarCode::kAffine: return add(algorithm::eltwise_linear, op.p0, op.p1);
    case ScalarCode::kAbs: return add(algorithm::eltwise_abs);
    case ScalarCode::kNeg: return add(algorithm::eltwise_linear, -1, 0);
    case ScalarCode::kHardSigmoid:
      add(algorithm::eltwise_linear, op.p0, op.p1);
      return add(algorithm::eltwise_clip, 0, 1);
    default: throw NoPrimitive{"the function after it is no post-op of oneDNN"};
  }
}

}  // namespace

namespace {

/// oneDNN 2.6.3 gives wrong results after a sum of integers, an affine function, another function
/// and a second affine one.
bool is_wrong(const std::vector<EpilogueStep>& steps) {
  const auto scalar = [&](size_t i, bool affine) {
    return steps[i].kind == EpilogueStep::Kind::kScalar &&
           (steps[i].op.code == ScalarCode::kAffine) == affine;
  };
  for (size_t i = 0; i + 3 < steps.size(); ++i)
    if (steps[i].kind == EpilogueStep::Kind::kResidual && !is_float(steps[i].residual_type) &&
        scalar(i + 1, true) && scalar(i + 2, false) && scalar(i + 3, true))
      return true;
  return false;
}

}  // namespace

void apply_epilogue(const Epilogue& e, int channel_axis, const dnnl::memory::desc& result,
                    dnnl::primitive_attr& attr, SequenceBuilder& b,
                    std::vector<SequenceBuilder::Arg>& args) {
  if (is_wrong(e.steps)) throw NoPrimitive{"oneDNN is wrong in such sums"};
  if (!e.scales.empty()) {
    const bool per_channel = e.scales.size() > 1;
    attr.set_output_scales(per_channel ? 1 << channel_axis : 0, e.scales);
  }
  dnnl::post_ops post;
  for (const EpilogueStep& step : e.steps) {
    if (step.kind == EpilogueStep::Kind::kScalar) {
      append_scalar(step.op, post);
      continue;
    }
    const auto type = onednn_type(step.residual_type);
    if (type == result.data_type())
      post.append_sum(step.scale);
    else
      post.append_sum(step.scale, type);
    b.copy(Ref::operand(step.operand), Ref::result(0), result.get_size());
  }
  if (post.len() > 0) attr.set_post_ops(post);
}

}  // namespace espalier::kernels
