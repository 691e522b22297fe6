#include "kernels/pooling.h"

#include "kernels/onednn.h"
#include "kernels/onednn_epilogue.h"

namespace espalier::kernels {

using dnnl::algorithm;
using dnnl::memory;
using dnnl::prop_kind;

namespace {

struct Pool {
  memory::dims strides, kernel, dilations, begin, end;
  algorithm how;
};

Pool pool_of(const PoolSpec& s) {
  Pool p{s.strides, s.kernel, s.dilations, s.pads_begin, {}, algorithm::pooling_max};
  for (size_t i = 0; i < s.kernel.size(); ++i) {
    const int64_t reach = (s.kernel[i] - 1) * s.dilations[i] + 1;
    p.end.push_back((s.y[i + 2] - 1) * s.strides[i] + reach - s.x[i + 2] - s.pads_begin[i]);
    p.dilations[i] -= 1;
  }
  if (s.kind == PoolSpec::Kind::kAverage) p.how = algorithm::pooling_avg_exclude_padding;
  if (s.kind == PoolSpec::Kind::kAverageWithPadding) p.how = algorithm::pooling_avg_include_padding;
  return p;
}

dnnl::pooling_v2_forward::primitive_desc forward(const PoolSpec& s, const Pool& p, prop_kind kind,
                                                 const dnnl::primitive_attr& attr) {
  return {{kind, p.how, channels_last_desc(s.x, s.type), channels_last_desc(s.y, s.y_type),
           p.strides, p.kernel, p.dilations, p.begin, p.end},
          attr,
          cpu_engine()};
}

}  // namespace

Prepared prepare_pool(const PoolSpec& s) {
  return guarded([&] {
    SequenceBuilder b;
    dnnl::primitive_attr attr = base_attributes();
    if (s.scale != 1 || s.offset != 0) {
      dnnl::post_ops post;
      post.append_eltwise(1, algorithm::eltwise_linear, s.scale, s.offset);
      attr.set_post_ops(post);
    }
    const auto pd = forward(s, pool_of(s), prop_kind::forward_inference, attr);
    refuse_reference(pd.impl_info_str());
    b.add(dnnl::pooling_v2_forward(pd), pd.scratchpad_desc(),
          {{DNNL_ARG_SRC, pd.src_desc(), Ref::operand(0)},
           {DNNL_ARG_DST, pd.dst_desc(), Ref::result(0)}});
    return b.finish(pd.impl_info_str());
  });
}

Prepared prepare_max_pool_grad(const PoolSpec& s) {
  return guarded([&] {
    SequenceBuilder b;
    const Pool p = pool_of(s);
    const auto f = forward(s, p, prop_kind::forward_training, base_attributes());
    const dnnl::pooling_v2_backward::primitive_desc pd(
        {p.how, f.src_desc(), f.dst_desc(), p.strides, p.kernel, p.dilations, p.begin, p.end},
        base_attributes(), cpu_engine(), f);
    refuse_reference(pd.impl_info_str());
    const Ref y = b.scratch(f.dst_desc().get_size());
    const Ref where = b.scratch(f.workspace_desc().get_size());
    b.add(dnnl::pooling_v2_forward(f), f.scratchpad_desc(),
          {{DNNL_ARG_SRC, f.src_desc(), Ref::operand(0)},
           {DNNL_ARG_DST, f.dst_desc(), y},
           {DNNL_ARG_WORKSPACE, f.workspace_desc(), where}});
    b.add(dnnl::pooling_v2_backward(pd), pd.scratchpad_desc(),
          {{DNNL_ARG_DIFF_DST, pd.diff_dst_desc(), Ref::operand(1)},
           {DNNL_ARG_WORKSPACE, f.workspace_desc(), where},
           {DNNL_ARG_DIFF_SRC, pd.diff_src_desc(), Ref::result(0)}});
    return b.finish(pd.impl_info_str());
  });
}

Prepared prepare_average_pool_grad(const PoolSpec& s) {
  return guarded([&] {
    SequenceBuilder b;
    const Pool p = pool_of(s);
    const auto f = forward(s, p, prop_kind::forward_training, base_attributes());
    const dnnl::pooling_v2_backward::primitive_desc pd(
        {p.how, f.src_desc(), f.dst_desc(), p.strides, p.kernel, p.dilations, p.begin, p.end},
        base_attributes(), cpu_engine(), f);
    refuse_reference(pd.impl_info_str());
    b.add(dnnl::pooling_v2_backward(pd), pd.scratchpad_desc(),
          {{DNNL_ARG_DIFF_DST, pd.diff_dst_desc(), Ref::operand(0)},
           {DNNL_ARG_DIFF_SRC, pd.diff_src_desc(), Ref::result(0)}});
    return b.finish(pd.impl_info_str());
  });
}

}  // namespace espalier::kernels
