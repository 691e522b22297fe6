#include "kernels/convolution.h"

#include <limits>

#include "base/threads.h"
#include "kernels/onednn.h"
#include "kernels/onednn_epilogue.h"

namespace espalier::kernels {

std::optional<std::pair<float, float>> bounds_of(const EpilogueStep& step) {
  if (step.kind != EpilogueStep::Kind::kScalar) return std::nullopt;
  if (step.op.code == ScalarCode::kClip) return std::pair(step.op.p0, step.op.p1);
  if (step.op.code != ScalarCode::kRelu) return std::nullopt;
  return std::pair(0.0f, std::numeric_limits<float>::infinity());
}

using dnnl::algorithm;
using dnnl::memory;
using dnnl::prop_kind;

namespace {

struct OnednnGeometry {
  memory::dims strides, dilations, begin, end;
};

// oneDNN counts dilation from 0; the padding at the end is what makes the extents come out.
OnednnGeometry onednn_geometry(const ConvGeometry& g, const Shape& x, const Shape& w,
                               const Shape& y) {
  OnednnGeometry o{g.strides, g.dilations, g.pads_begin, {}};
  for (size_t i = 0; i < g.strides.size(); ++i) {
    const int64_t reach = (w[i + 2] - 1) * g.dilations[i] + 1;
    o.end.push_back((y[i + 2] - 1) * g.strides[i] + reach - x[i + 2] - g.pads_begin[i]);
    o.dilations[i] -= 1;
  }
  return o;
}

Shape grouped(const Shape& w, int64_t groups) {
  if (groups == 1) return w;
  Shape g = {groups, w[0] / groups};
  g.insert(g.end(), w.begin() + 1, w.end());
  return g;
}

/// Descriptor of a forward primitive over the geometry g; w gives the weight's extents.
template <class Primitive>
typename Primitive::primitive_desc forward_desc(const ConvSpec& s, algorithm how,
                                                const OnednnGeometry& g, const memory::dims& w,
                                                const dnnl::primitive_attr& attr) {
  const auto x = channels_last_desc(s.x, s.x_type), y = channels_last_desc(s.y, s.y_type);
  const auto weight = any_desc(w, s.weight.type);
  const auto kind = prop_kind::forward_inference;
  if (!s.bias)
    return {{kind, how, x, weight, y, g.strides, g.dilations, g.begin, g.end}, attr, cpu_engine()};
  const auto b = plain_desc({s.y[1]}, s.bias->type);
  return {{kind, how, x, weight, b, y, g.strides, g.dilations, g.begin, g.end}, attr, cpu_engine()};
}

/// oneDNN's general matrix products divide sums among the threads there are.
bool divides_sums(const std::string& implementation) {
  return implementation.find("gemm:") != std::string::npos;
}

/// The forward form of `Primitive` by the algorithm `how`; its weight is given as `given`.
template <class Primitive>
std::shared_ptr<const PrimitiveSequence> forward_sequence(const ConvSpec& s, algorithm how,
                                                          const OnednnGeometry& g,
                                                          const memory::desc& given) {
  SequenceBuilder b;
  dnnl::primitive_attr attr = base_attributes();
  if (s.x_zero_point != 0) attr.set_zero_points(DNNL_ARG_SRC, 0, {s.x_zero_point});
  const auto y = channels_last_desc(s.y, s.y_type);
  std::vector<SequenceBuilder::Arg> args;
  apply_epilogue(s.epilogue, 1, y, attr, b, args);
  const auto pd = forward_desc<Primitive>(s, how, g, given.dims(), attr);
  const std::string implementation = pd.impl_info_str();
  refuse_reference(implementation.c_str());
  if (divides_sums(implementation)) {
    if (num_threads() > 1) {
      const ThreadScope one(1);
      return forward_sequence<Primitive>(s, how, g, given);
    }
    b.on_one_thread();
  }

  const Ref w = s.weight.constant
                    ? b.pack(given, s.weight.constant, pd.weights_desc())
                    : b.wanted(given, Ref::operand(s.weight.operand), pd.weights_desc());
  args.push_back({DNNL_ARG_SRC, pd.src_desc(), Ref::operand(s.x_operand)});
  args.push_back({DNNL_ARG_WEIGHTS, pd.weights_desc(), w});
  args.push_back({DNNL_ARG_DST, pd.dst_desc(), Ref::result(0)});
  if (s.bias)
    args.push_back({DNNL_ARG_BIAS, pd.bias_desc(),
                    s.bias->constant ? b.pack(pd.bias_desc(), s.bias->constant, pd.bias_desc())
                                     : Ref::operand(s.bias->operand)});
  b.add(Primitive(pd), pd.scratchpad_desc(), std::move(args));
  return b.finish(implementation);
}

}  // namespace

Prepared prepare_convolution(const ConvSpec& s) {
  return guarded([&] {
    const auto g = onednn_geometry(s.geometry, s.x, s.weight.shape, s.y);
    const auto given = plain_desc(grouped(s.weight.shape, s.geometry.groups), s.weight.type);
    return forward_sequence<dnnl::convolution_forward>(s, algorithm::convolution_direct, g, given);
  });
}

namespace {

/// A transposed convolution's weight, stored as I, O / groups, spatial, in oneDNN's order of axes:
/// (groups,) O / groups, I / groups, spatial.
memory::desc transposed_weight(const Weight& w, int64_t groups) {
  memory::dims dims(w.shape.begin() + 2, w.shape.end()), strides(dims.size());
  int64_t step = 1;
  for (size_t i = dims.size(); i-- > 0; step *= dims[i]) strides[i] = step;
  const int64_t results = w.shape[1], operands = w.shape[0] / groups;
  const auto prepend = [&](int64_t extent, int64_t stride) {
    dims.insert(dims.begin(), extent);
    strides.insert(strides.begin(), stride);
  };
  prepend(operands, step * results);
  prepend(results, step);
  if (groups > 1) prepend(groups, step * results * operands);
  return {dims, onednn_type(w.type), strides};
}

}  // namespace

Prepared prepare_transposed_convolution(const ConvSpec& s) {
  return guarded([&] {
    // It is the convolution from y to x run backwards.
    const auto g = onednn_geometry(s.geometry, s.y, s.weight.shape, s.x);
    const auto given = transposed_weight(s.weight, s.geometry.groups);
    return forward_sequence<dnnl::deconvolution_forward>(s, algorithm::deconvolution_direct, g,
                                                         given);
  });
}

namespace {

// The backward primitives want a forward one as a hint.
dnnl::convolution_forward::primitive_desc hint(const ConvGradSpec& s, const OnednnGeometry& g) {
  return {{prop_kind::forward_training, algorithm::convolution_direct,
           channels_last_desc(s.x, s.type), any_desc(grouped(s.w, s.geometry.groups), s.type),
           channels_last_desc(s.y, s.type), g.strides, g.dilations, g.begin, g.end},
          cpu_engine()};
}

}  // namespace

Prepared prepare_convolution_grad_input(const ConvGradSpec& s) {
  return guarded([&] {
    SequenceBuilder b;
    const auto g = onednn_geometry(s.geometry, s.x, s.w, s.y);
    const auto w = grouped(s.w, s.geometry.groups);
    const dnnl::convolution_backward_data::primitive_desc pd(
        {algorithm::convolution_direct, channels_last_desc(s.x, s.type), any_desc(w, s.type),
         channels_last_desc(s.y, s.type), g.strides, g.dilations, g.begin, g.end},
        base_attributes(), cpu_engine(), hint(s, g));
    refuse_reference(pd.impl_info_str());
    const Ref packed = b.wanted(plain_desc(w, s.weight_type), Ref::operand(1), pd.weights_desc());
    b.add(dnnl::convolution_backward_data(pd), pd.scratchpad_desc(),
          {{DNNL_ARG_DIFF_DST, pd.diff_dst_desc(), Ref::operand(0)},
           {DNNL_ARG_WEIGHTS, pd.weights_desc(), packed},
           {DNNL_ARG_DIFF_SRC, pd.diff_src_desc(), Ref::result(0)}});
    return b.finish(pd.impl_info_str());
  });
}

Prepared prepare_convolution_grad_weight(const ConvGradSpec& s) {
  return guarded([&] {
    SequenceBuilder b;
    const auto g = onednn_geometry(s.geometry, s.x, s.w, s.y);
    const auto w = grouped(s.w, s.geometry.groups);
    const dnnl::convolution_backward_weights::primitive_desc pd(
        {algorithm::convolution_direct, channels_last_desc(s.x, s.type), any_desc(w, s.weight_type),
         channels_last_desc(s.y, s.type), g.strides, g.dilations, g.begin, g.end},
        base_attributes(), cpu_engine(), hint(s, g));
    refuse_reference(pd.impl_info_str());
    const auto plain = plain_desc(w, s.weight_type);
    const bool direct = plain == pd.diff_weights_desc();
    const Ref dw = direct ? Ref::result(0) : b.scratch(pd.diff_weights_desc().get_size());
    b.add(dnnl::convolution_backward_weights(pd), pd.scratchpad_desc(),
          {{DNNL_ARG_SRC, pd.src_desc(), Ref::operand(0)},
           {DNNL_ARG_DIFF_DST, pd.diff_dst_desc(), Ref::operand(1)},
           {DNNL_ARG_DIFF_WEIGHTS, pd.diff_weights_desc(), dw}});
    if (!direct) b.reorder(pd.diff_weights_desc(), dw, plain, Ref::result(0));
    return b.finish(pd.impl_info_str());
  });
}

namespace {

std::shared_ptr<const PrimitiveSequence> matmul_sequence(const MatmulSpec& s) {
  SequenceBuilder b;
  dnnl::primitive_attr attr = base_attributes();
  const auto y = plain_desc(s.y, s.y_type);
  std::vector<SequenceBuilder::Arg> args;
  apply_epilogue(s.epilogue, int(s.y.size()) - 1, y, attr, b, args);
  const memory::desc a(s.a, onednn_type(s.a_type), s.a_strides);
  const memory::desc given(s.b, onednn_type(s.b_type), s.b_strides);
  const auto wanted = s.b_constant ? any_desc(s.b, s.b_type) : given;
  const auto bias = s.bias ? plain_desc(s.bias->shape, s.bias->type) : memory::desc();
  const dnnl::matmul::desc desc =
      s.bias ? dnnl::matmul::desc(a, wanted, bias, y) : dnnl::matmul::desc(a, wanted, y);
  const dnnl::matmul::primitive_desc pd(desc, attr, cpu_engine());
  const std::string implementation = pd.impl_info_str();
  refuse_reference(implementation.c_str());
  if (divides_sums(implementation)) {
    if (num_threads() > 1) {
      const ThreadScope one(1);
      return matmul_sequence(s);
    }
    b.on_one_thread();
  }
  const Ref weights =
      s.b_constant ? b.pack(given, s.b_constant, pd.weights_desc()) : Ref::operand(s.b_operand);
  args.push_back({DNNL_ARG_SRC, a, Ref::operand(s.a_operand)});
  args.push_back({DNNL_ARG_WEIGHTS, pd.weights_desc(), weights});
  args.push_back({DNNL_ARG_DST, y, Ref::result(0)});
  if (s.bias)
    args.push_back(
        {DNNL_ARG_BIAS, bias,
         s.bias->constant ? b.pack(bias, s.bias->constant, bias) : Ref::operand(s.bias->operand)});
  b.add(dnnl::matmul(pd), pd.scratchpad_desc(), std::move(args));
  return b.finish(implementation);
}

}  // namespace

Prepared prepare_matmul(const MatmulSpec& s) {
  return guarded([&] { return matmul_sequence(s); });
}

}  // namespace espalier::kernels
