// Pools, activations channels-last, in float and in 8-bit regions: the largest elements of planes
// by our own loops, the others by oneDNN.
#include "kernels/pooling.h"

#include <algorithm>

#include "bind/attribute_reader.h"
#include "bind/contraction.h"
#include "bind/families.h"
#include "bind/sequence_kernel.h"
#include "kernels/max_pool.h"

namespace espalier::bind {
namespace {

using Kind = kernels::PoolSpec::Kind;

std::variant<kernels::PoolSpec, Refuse> pool_spec(const Room& room, const Attributes& attrs,
                                                  const Shape& x, const Shape& y, DType type) {
  if (type != DType::f32 && type != DType::bf16 && type != DType::u8 && type != DType::i8)
    return Refuse{"the operand is " + std::string(name_of(type))};
  if (x.size() < 3 || x.size() > 5) return Refuse{"the operand has no spatial axes"};
  if (numel(x) == 0 || numel(y) == 0) return Refuse{"a tensor is empty"};
  const AttributeReader a(room, attrs);
  kernels::PoolSpec s;
  s.type = s.y_type = type;
  s.x = x;
  s.y = y;
  const std::string name = room.op.name;
  const bool global = name == "GlobalAveragePool" || name == "GlobalMaxPool";
  s.kernel = global ? std::vector<int64_t>(x.begin() + 2, x.end())
                    : a.list("kernel_shape", x.size() - 2, 1);
  const Window w = window_of(a, x, s.kernel, y);
  s.strides = w.strides;
  s.dilations = w.dilations;
  s.pads_begin = w.begin;
  s.kind = name.find("Max") != std::string::npos ? Kind::kMax
           : a.integer("count_include_pad", 0)   ? Kind::kAverageWithPadding
                                                 : Kind::kAverage;
  for (size_t i = 0; i < s.kernel.size(); ++i) {
    const int64_t reach = (s.kernel[i] - 1) * s.dilations[i] + 1;
    const int64_t end = (y[i + 2] - 1) * s.strides[i] + reach - x[i + 2] - s.pads_begin[i];
    if (s.kind == Kind::kAverageWithPadding && end > w.end[i])
      return Refuse{"the last window reaches beyond the padding that counts"};
    if (s.pads_begin[i] >= reach || end >= reach) return Refuse{"a window sees only padding"};
  }
  return s;
}

KernelPtr channels_last(KernelPtr kernel, size_t operands) {
  kernel->operand_layouts.assign(operands, Layout::kChannelsLast);
  kernel->result_layouts = {Layout::kChannelsLast};
  return kernel;
}

/// The pool that the node, or the 8-bit region around it, asks for.
std::variant<kernels::PoolSpec, Refuse> requested_pool(const BindRequest& r) {
  if (std::count(r.wanted.begin(), r.wanted.end(), true) > 1 || !r.wanted[0])
    return Refuse{"the positions of the largest elements are asked for"};
  auto parsed = contraction_of(r);
  if (auto* no = std::get_if<Refuse>(&parsed)) return *no;
  const Contraction& c = std::get<Contraction>(parsed);
  const std::string name = c.room->full_name();
  if (name != "MaxPool" && name != "AveragePool" && name != "GlobalAveragePool" &&
      name != "GlobalMaxPool")
    return Refuse{"the region is around " + c.room->op.name};
  if (!c.steps.empty()) return Refuse{"something is applied to the pool's result"};
  if (c[0].outer < 0 || c[0].constant) return Refuse{"the operand is a constant"};
  auto spec = pool_spec(*c.room, c.attrs, c[0].type.shape(), c.result.shape(), c[0].type.dtype);
  auto* s = std::get_if<kernels::PoolSpec>(&spec);
  if (!s || !c.integer()) return spec;
  if (!c.quantized) return Refuse{"the result of an 8-bit pool is not quantised"};
  if (c[0].quant->scales.size() != 1) return Refuse{"the operand has several scales"};
  if (c.quantized->type != s->type) return Refuse{"operand and result have different 8-bit types"};
  s->scale = c[0].quant->scales[0] / c.quantized->scales[0];
  s->offset = float(c.quantized->zero_points[0]) - s->scale * float(c[0].quant->zero_points[0]);
  if (s->kind == Kind::kAverageWithPadding && c[0].quant->zero_points[0] != 0)
    return Refuse{"padding is not zero in these integers"};
  return spec;
}

kernels::PoolAxis axis_of(const kernels::PoolSpec& s, size_t i) {
  return {s.x[i + 2], s.y[i + 2], s.kernel[i], s.strides[i], s.dilations[i], s.pads_begin[i]};
}

Bound bind_max_pool(const BindRequest& r) {
  auto spec = requested_pool(r);
  if (auto* no = std::get_if<Refuse>(&spec)) return *no;
  const auto& s = std::get<kernels::PoolSpec>(spec);
  if (s.kind != Kind::kMax) return Refuse{"it is no pool of largest elements"};
  if (s.x.size() != 4) return Refuse{"the operand does not consist of planes"};
  if (s.type == DType::bf16) return Refuse{"the operand is bf16"};
  if (s.scale != 1 || s.offset != 0) return Refuse{"the result has another scale"};
  const kernels::MaxPool pool{s.type, s.x[0], s.x[1], axis_of(s, 0), axis_of(s, 1)};
  return channels_last(
      function_kernel("max_pool",
                      [pool](const KernelArgs& k) { kernels::max_pool(pool, k.in[0], k.out[0]); }),
      r.in.size());
}

Bound bind_pool(const BindRequest& r) {
  auto spec = requested_pool(r);
  if (auto* no = std::get_if<Refuse>(&spec)) return *no;
  auto prepared = kernels::prepare_pool(std::get<kernels::PoolSpec>(spec));
  if (!prepared.sequence) return Refuse{prepared.refusal};
  return channels_last(sequence_kernel("onednn.pool", std::move(prepared.sequence)), r.in.size());
}

Bound bind_max_pool_grad(const BindRequest& r) {
  auto spec = pool_spec(*r.room, r.attrs, r.in_shape(0), r.in_shape(1), r.in_dtype(0));
  if (auto* no = std::get_if<Refuse>(&spec)) return *no;
  auto prepared = kernels::prepare_max_pool_grad(std::get<kernels::PoolSpec>(spec));
  if (!prepared.sequence) return Refuse{prepared.refusal};
  return channels_last(sequence_kernel("onednn.max_pool_grad", std::move(prepared.sequence)), 2);
}

Bound bind_average_pool_grad(const BindRequest& r) {
  auto spec = pool_spec(*r.room, r.attrs, r.out_shape(0), r.in_shape(0), r.in_dtype(0));
  if (auto* no = std::get_if<Refuse>(&spec)) return *no;
  auto prepared = kernels::prepare_average_pool_grad(std::get<kernels::PoolSpec>(spec));
  if (!prepared.sequence) return Refuse{prepared.refusal};
  auto kernel =
      channels_last(sequence_kernel("onednn.average_pool_grad", std::move(prepared.sequence)), 1);
  kernel->operand_layouts.push_back(Layout::kPlain);
  kernel->absorbed = {1};
  return kernel;
}

}  // namespace

Entries pooling_entries() {
  Entries e;
  for (const char* name : {"MaxPool", "espalier.Fused"})
    e.push_back({name, {"max_pool", bind_max_pool}});
  for (const char* name :
       {"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "espalier.Fused"})
    e.push_back({name, {"onednn.pool", bind_pool}});
  e.push_back({"espalier.MaxPoolGrad", {"onednn.max_pool_grad", bind_max_pool_grad}});
  e.push_back({"espalier.AveragePoolGrad", {"onednn.average_pool_grad", bind_average_pool_grad}});
  return e;
}

}  // namespace espalier::bind
