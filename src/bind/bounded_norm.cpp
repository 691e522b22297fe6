// Regions of training batch normalisation with the bounds after it, and of its gradient with
// theirs.
#include <algorithm>
#include <array>

#include "bind/attribute_reader.h"
#include "bind/contraction.h"
#include "bind/families.h"
#include "bind/region_source.h"
#include "ir/builder.h"
#include "kernels/batch_norm.h"

namespace espalier::bind {
namespace {

constexpr Layout kLast = Layout::kChannelsLast, kPlain = Layout::kPlain;

std::optional<ScalarOp> scalar_op(const Graph& g, NodeId id) {
  const Node& n = g.node(id);
  if (!n.room->pointwise.answered()) return std::nullopt;
  return (*n.room->pointwise)(n.attrs, types_in(g, id));
}

/// A normalisation, or its gradient, in a region: which it is, and where its kernel finds things.
struct Form {
  const Node* norm = nullptr;
  kernels::BatchNormShape shape;
  kernels::NormBounds bounds;
  std::array<RegionSource, 5> in;  ///< of the operator
  RegionSource y;                  ///< what masks its gradient
  RegionSource residual;
  std::array<int, 5> out = {-1, -1, -1, -1, -1};  ///< results of the region; -1: not asked for
};

/// The region's results as the operator's, `first` in place of its first.
std::optional<Refuse> set_results(const BindRequest& r, const Graph& g, ValueId first, Form& form) {
  for (size_t i = 0; i < g.outputs().size(); ++i) {
    const ValueId v = g.outputs()[i];
    const auto& all = form.norm->outputs;
    const auto at = v == first ? all.begin() : std::find(all.begin() + 1, all.end(), v);
    if (at == all.end()) return Refuse{"what lies inside the region is asked for"};
    if (r.wanted[i]) form.out[size_t(at - all.begin())] = int(i);
  }
  return std::nullopt;
}

std::optional<Refuse> set_operands(const Graph& g, size_t first_number, Form& form) {
  const TensorType& x = g.value(form.norm->inputs[0]).tensor();
  if (x.dtype != DType::f32 && x.dtype != DType::bf16)
    return Refuse{"it is in neither f32 nor bf16"};
  for (size_t i = first_number; i < 5; ++i)
    if (g.value(form.norm->inputs[i]).tensor().dtype != DType::f32)
      return Refuse{"what belongs to a channel is not f32"};
  const Shape shape = x.shape();
  form.shape = {x.dtype, shape[1] ? numel(shape) / shape[1] : 0, shape[1]};
  if (form.shape.rows == 0) return Refuse{"the operand is empty"};
  for (size_t i = 0; i < 5; ++i) {
    const ValueId v = form.norm->inputs[i];
    if (g.value(v).producer == kNoNode) form.in[i] = region_source(g, v);
  }
  if (form.in[0].operand < 0) return Refuse{"the operand is a constant"};
  return std::nullopt;
}

void set_layouts(const BindRequest& r, const Form& form, std::initializer_list<RegionSource> images,
                 Kernel& kernel) {
  kernel.operand_layouts.assign(r.in.size(), kPlain);
  for (const RegionSource& s : images)
    if (s.operand >= 0) kernel.operand_layouts[size_t(s.operand)] = kLast;
  kernel.result_layouts.assign(r.out.size(), kPlain);
  if (form.out[0] >= 0) kernel.result_layouts[size_t(form.out[0])] = kLast;
  kernel.scratch_bytes = kernels::batch_norm_scratch(form.shape);
}

void may_lie_in_place(const Form& form, size_t result, const RegionSource& operand,
                      Kernel& kernel) {
  if (form.out[result] >= 0 && operand.operand >= 0)
    kernel.in_place.emplace_back(form.out[result], operand.operand);
}

Bound bind_bounded_norm(const BindRequest& r) {
  const auto body = region_body(r);
  if (!body) return Refuse{"is no region"};
  const Graph& g = *body;
  const Refuse other{"is no normalisation with a residual or bounds"};
  Form form;
  form.norm = &g.node(g.order()[0]);
  if (form.norm->room->full_name() != "BatchNormalization") return other;
  ValueId y = form.norm->outputs[0], residual = kNoValue;
  for (size_t i = 1; i < g.order().size(); ++i) {
    const Node& n = g.node(g.order()[i]);
    const auto op = scalar_op(g, g.order()[i]);
    const bool last = i + 1 == g.order().size();
    if (!op) return other;
    if (op->code == ScalarCode::kAdd && i == 1 && (n.inputs[0] == y) != (n.inputs[1] == y))
      residual = n.inputs[n.inputs[0] == y ? 1 : 0];
    else if (op->code == ScalarCode::kRelu && last && n.inputs[0] == y)
      form.bounds = {0.0f, std::nullopt};
    else if (op->code == ScalarCode::kClip && last && n.inputs[0] == y)
      form.bounds = {op->p0, op->p1};
    else
      return other;
    y = n.outputs[0];
  }
  if (residual != kNoValue) {
    const TensorType &x = g.value(form.norm->inputs[0]).tensor(), &r = g.value(residual).tensor();
    if (r.dtype != x.dtype || r.dims != x.dims || g.value(residual).producer != kNoNode)
      return Refuse{"the residual is not like the operand"};
    form.residual = region_source(g, residual);
    if (form.residual.operand < 0) return Refuse{"the residual is a constant"};
  }
  const AttributeReader a(*form.norm->room, form.norm->attrs);
  if (a.integer("training_mode", 0) == 0) return Refuse{"it normalises by known statistics"};
  if (const auto no = set_operands(g, 1, form)) return *no;
  if (const auto no = set_results(r, g, y, form)) return *no;
  if (form.out[0] < 0) return Refuse{"the normalised result is not asked for"};
  const float epsilon = a.get<float>("epsilon", 1e-5f), momentum = a.get<float>("momentum", 0.9f);
  KernelPtr kernel =
      function_kernel("batch_norm bounded", [form, epsilon, momentum, body](const KernelArgs& k) {
        const auto in = [&](size_t i) { return static_cast<const float*>(form.in[i].address(k)); };
        const auto out = [&](size_t i) {
          return form.out[i] < 0 ? nullptr : k.write<float>(size_t(form.out[i]));
        };
        kernels::batch_norm_forward(
            form.shape,
            {in(0), in(1), in(2), in(3), in(4), epsilon, momentum, out(0), out(1), out(2), out(3),
             out(4), form.residual.address(k), form.bounds},
            k.scratch);
      });
  set_layouts(r, form, {form.in[0], form.residual}, *kernel);
  may_lie_in_place(form, 1, form.in[3], *kernel);
  may_lie_in_place(form, 2, form.in[4], *kernel);
  may_lie_in_place(form, 0, form.in[0], *kernel);
  may_lie_in_place(form, 0, form.residual, *kernel);
  return kernel;
}

/// where(y > low, dy, 0) and where(y < high, dy, 0) before the gradient: what masks it.
std::optional<Refuse> set_masks(const Graph& g, Form& form) {
  const Refuse other{"its gradient is not masked by bounds"};
  ValueId dy = form.norm->inputs[1];
  size_t nodes = 1;
  std::optional<ValueId> y;
  for (; g.value(dy).producer != kNoNode; nodes += 2) {
    const NodeId id = g.value(dy).producer;
    const auto op = scalar_op(g, id);
    if (!op || op->code != ScalarCode::kWhere) return other;
    const Node& where = g.node(id);
    const NodeId condition = g.value(where.inputs[0]).producer;
    if (condition == kNoNode || !g.is_constant(where.inputs[2]) ||
        g.value(where.inputs[2]).constant->at(0) != 0)
      return other;
    const auto compared = scalar_op(g, condition);
    const Values& operands = g.node(condition).inputs;
    if (!compared || !g.is_constant(operands[1]) || y.value_or(operands[0]) != operands[0])
      return other;
    const float bound = float(g.value(operands[1]).constant->at(0));
    if (compared->code == ScalarCode::kGreater)
      form.bounds.low = bound;
    else if (compared->code == ScalarCode::kLess)
      form.bounds.high = bound;
    else
      return other;
    y = operands[0];
    dy = where.inputs[1];
  }
  if (!y || nodes != g.order().size() || g.value(*y).producer != kNoNode) return other;
  form.in[1] = region_source(g, dy);
  form.y = region_source(g, *y);
  if (form.in[1].operand < 0 || form.y.operand < 0) return Refuse{"an operand is a constant"};
  return std::nullopt;
}

Bound bind_bounded_norm_grad(const BindRequest& r) {
  const auto body = region_body(r);
  if (!body) return Refuse{"is no region"};
  const Graph& g = *body;
  Form form;
  form.norm = &g.node(g.order().back());
  if (form.norm->room->full_name() != "espalier.BatchNormGrad")
    return Refuse{"is no gradient of a normalisation"};
  if (const auto no = set_operands(g, 2, form)) return *no;
  if (const auto no = set_masks(g, form)) return *no;
  if (const auto no = set_results(r, g, form.norm->outputs[0], form)) return *no;
  KernelPtr kernel = function_kernel("batch_norm_grad bounded", [form, body](const KernelArgs& k) {
    const auto in = [&](size_t i) { return static_cast<const float*>(form.in[i].address(k)); };
    const auto out = [&](size_t i) {
      return form.out[i] < 0 ? nullptr : k.write<float>(size_t(form.out[i]));
    };
    kernels::batch_norm_backward(
        form.shape,
        {in(0), in(1), in(2), in(3), in(4), out(0), out(1), out(2), form.y.address(k), form.bounds},
        k.scratch);
  });
  set_layouts(r, form, {form.in[0], form.in[1], form.y}, *kernel);
  may_lie_in_place(form, 0, form.in[1], *kernel);
  return kernel;
}

}  // namespace

Entries bounded_norm_entries() {
  return {{"espalier.Fused", {"batch_norm bounded", bind_bounded_norm}},
          {"espalier.Fused", {"batch_norm_grad bounded", bind_bounded_norm_grad}}};
}

}  // namespace espalier::bind
