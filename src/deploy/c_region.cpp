#include "deploy/c_region.h"

#include <algorithm>

#include "base/error.h"
#include "bind/contraction.h"
#include "ir/builder.h"
#include "ir/room.h"
#include "passes/fuse_region.h"

namespace espalier {
namespace {

using passes::region_body;

std::string step_name(NodeId id) { return "r" + std::to_string(id); }

bool is_leaf(const Graph& g, ValueId v) { return g.value(v).producer == kNoNode; }

bool dequantises(const Graph& g, NodeId id) {
  return bind::quantization_of(g, id) && is_float(g.value(g.node(id).outputs[0]).tensor().dtype);
}

bool one_scale(const bind::QuantParams& q) { return q.scales.size() == 1; }

CQuantised quantised_in_c(const Graph& g, NodeId id, const std::string& pointer) {
  const bind::QuantParams q = *bind::quantization_of(g, id);
  const Value& stored = g.value(g.node(id).inputs[0]);
  CQuantised c{pointer,
               stored.tensor().dtype,
               stored.constant ? &*stored.constant : nullptr,
               q.scales,
               {q.zero_points.begin(), q.zero_points.end()},
               0};
  if (!one_scale(q)) c.axis = normal_axis(q.axis, stored.tensor().rank(), "scales");
  return c;
}

/// The index of a broadcast operand at element `#` of the result.
std::string broadcast_index(const Shape& from, const Shape& to) {
  if (from == to) return "#";
  const auto strides = broadcast_strides(from, to), steps = strides_of(to);
  std::string index;
  for (size_t d = 0; d < to.size(); ++d) {
    if (strides[d] == 0 || to[d] == 1) continue;
    index += (index.empty() ? "" : " + ") + std::string("(#) / ") + std::to_string(steps[d]) +
             " % " + std::to_string(to[d]) + " * " + std::to_string(strides[d]);
  }
  return index.empty() ? "0" : index;
}

bool fits_broadcast(const Shape& from, const Shape& to) {
  if (from.size() > to.size()) return false;
  for (size_t i = 1; i <= from.size(); ++i)
    if (from[from.size() - i] != 1 && from[from.size() - i] != to[to.size() - i]) return false;
  return true;
}

}  // namespace

std::optional<CRegion> CRegion::of(const Graph& graph, NodeId node) {
  const GraphRef body = region_body(graph, node);
  if (!body || body->outputs().size() != 1) return std::nullopt;
  CRegion region;
  region.body_ = *body;
  if (!region.read()) return std::nullopt;
  return region;
}

bool CRegion::read() {
  for (NodeId id : body_.order())
    if (!read_node(id)) return false;
  const ValueId result = body_.outputs()[0];
  if (body_.value(result).producer == kNoNode) return false;
  last_ = body_.value(result).producer;
  if (core_ != kNoNode && last_ == core_ && before_.empty()) return false;
  const Shape to = body_.value(result).tensor().shape();
  for (NodeId id : behind_) {
    const Node& n = body_.node(id);
    if (core_ != kNoNode && body_.value(n.outputs[0]).tensor().shape() != to) return false;
    for (ValueId v : n.inputs) {
      if (v == kNoValue) continue;
      const NodeId made = body_.value(v).producer;
      if (made != kNoNode && dequantises(body_, made) &&
          !one_scale(*bind::quantization_of(body_, made)))
        return false;
      if (!fits_broadcast(body_.value(v).tensor().shape(), to)) return false;
    }
  }
  return core_ == kNoNode || body_.value(body_.node(core_).outputs[0]).tensor().shape() == to;
}

bool CRegion::read_node(NodeId id) {
  const Node& n = body_.node(id);
  if (n.outputs.size() != 1) return false;
  const DType dtype = body_.value(n.outputs[0]).tensor().dtype;
  if (!has_c_type(dtype)) return false;
  if (const auto q = bind::quantization_of(body_, id)) {
    if (!dequantises(body_, id)) {
      if (!one_scale(*q)) return false;
      behind_.push_back(id);
      return true;
    }
    if (dtype != DType::f32 || !is_leaf(body_, n.inputs[0])) return false;
    // Where integers are not known, one zero point serves all of them.
    if (!body_.is_constant(n.inputs[0]) &&
        std::ranges::count(q->zero_points, q->zero_points[0]) != std::ssize(q->zero_points))
      return false;
    before_.push_back(id);
    return true;
  }
  const bool scalar = passes::scalar_of(body_, id).has_value();
  if (scalar && (core_ != kNoNode || n.room->emit.derived())) {
    behind_.push_back(id);
    return true;
  }
  if (core_ != kNoNode || !behind_.empty() || !n.room->emit.answered()) return false;
  core_ = id;
  return true;
}

int CRegion::outer_operand(size_t i) const {
  ValueId v = body_.node(core_).inputs[i];
  if (v == kNoValue) return -1;
  if (const NodeId made = body_.value(v).producer; made != kNoNode) v = body_.node(made).inputs[0];
  const auto found = std::ranges::find(body_.inputs(), v);
  return found == body_.inputs().end() ? -1 : int(found - body_.inputs().begin());
}

std::vector<size_t> CRegion::residuals() const {
  const Shape to = body_.value(body_.outputs()[0]).tensor().shape();
  std::vector<size_t> found;
  for (size_t i = 0; i < body_.inputs().size(); ++i) {
    bool of_core = body_.value(body_.inputs()[i]).tensor().shape() != to;
    for (size_t k = 0; core_ != kNoNode && k < body_.node(core_).inputs.size(); ++k)
      of_core = of_core || outer_operand(k) == int(i);
    if (!of_core) found.push_back(i);
  }
  return found;
}

std::string CRegion::pointer(CModule& module, const std::vector<std::string>& pointers,
                             ValueId v) const {
  const auto found = std::ranges::find(body_.inputs(), v);
  if (found != body_.inputs().end()) return pointers[size_t(found - body_.inputs().begin())];
  return module.table(*body_.value(v).constant, body_.value(v).name);
}

CWriter CRegion::write(CModule& module, const std::vector<std::string>& pointers,
                       const std::string& result) const {
  const ValueId out = body_.outputs()[0];
  const Shape to = body_.value(out).tensor().shape();
  const bool alone = core_ == kNoNode;
  // Leaves read once for each element, where there is no operator in the middle.
  std::vector<CWalk> walks;
  std::vector<std::string> reads;
  const auto element = [&](ValueId leaf) -> std::string {
    const Value& value = body_.value(leaf);
    if (value.constant && value.constant->size() == 1) return c_literal(*value.constant, 0);
    const std::string p = pointer(module, pointers, leaf);
    if (!alone) return p + "[" + broadcast_index(value.tensor().shape(), to) + "]";
    walks.push_back({0, broadcast_strides(value.tensor().shape(), to)});
    reads.push_back("const " + c_type(value.tensor().dtype) + " x" + std::to_string(reads.size()) +
                    " = " + p);
    return "x" + std::to_string(reads.size() - 1);
  };
  const auto expression = [&](ValueId v) -> std::string {
    if (is_leaf(body_, v)) return element(v);
    const NodeId made = body_.value(v).producer;
    if (made == core_) return "$";
    if (!dequantises(body_, made)) return step_name(made);
    const auto q = *bind::quantization_of(body_, made);
    return "((float)((int32_t)" + element(body_.node(made).inputs[0]) + " - (" +
           std::to_string(q.zero_points[0]) + ")) * " + c_literal(double(q.scales[0]), DType::f32) +
           ")";
  };
  std::vector<CStep> steps;
  for (NodeId id : behind_) {
    const Node& n = body_.node(id);
    const DType dtype = body_.value(n.outputs[0]).tensor().dtype;
    if (const auto q = bind::quantization_of(body_, id)) {
      module.need("quantise.h");
      const std::string least = dtype == DType::u8 || dtype == DType::u16 ? "0"
                                : dtype == DType::i8                      ? "-128"
                                                                          : "-32768";
      const std::string most = dtype == DType::u8    ? "255"
                               : dtype == DType::i8  ? "127"
                               : dtype == DType::u16 ? "65535"
                                                     : "32767";
      steps.push_back({dtype, step_name(id),
                       "(" + c_type(dtype) + ")esp_quantise(" + expression(n.inputs[0]) + " / " +
                           c_literal(double(q->scales[0]), DType::f32) + ", " +
                           std::to_string(q->zero_points[0]) + ", " + least + ", " + most + ")"});
      continue;
    }
    const auto op = *passes::scalar_of(body_, id);
    std::vector<std::string> x(3);
    for (size_t i = 0; i < size_t(operands_of(op.code)); ++i) x[i] = expression(n.inputs[i]);
    const bool compares = op.code >= ScalarCode::kEqual && op.code <= ScalarCode::kGreaterEqual;
    const DType over = compares ? body_.value(n.inputs[0]).tensor().dtype : dtype;
    const auto text = c_expression(op, over, x[0], x[1], x[2]);
    if (!text)
      throw unsupported(describe(body_, id),
                        "is not defined on " + std::string(name_of(over)) + " in C");
    steps.push_back({dtype, step_name(id), *text});
  }
  const DType stored = body_.value(out).tensor().dtype;
  if (alone) {
    CWriter writer(module, body_, last_, {}, {{result, stored, {}}});
    walks.push_back({0, strides_of(to)});
    writer.nest(to, walks, [&](const std::vector<std::string>& at) {
      for (size_t i = 0; i < reads.size(); ++i) writer.line(reads[i] + "[" + at[i] + "];");
      for (const CStep& step : steps)
        writer.line("const " + c_type(step.dtype) + " " + step.name + " = " + step.expression +
                    ";");
      writer.store(0, at.back(), steps.back().name);
    });
    return writer;
  }
  const Node& n = body_.node(core_);
  std::vector<CSource> sources;
  for (ValueId v : n.inputs) {
    if (v == kNoValue) {
      sources.push_back({});
      continue;
    }
    const NodeId made = body_.value(v).producer;
    const ValueId leaf = made == kNoNode ? v : body_.node(made).inputs[0];
    const Value& value = body_.value(leaf);
    CSource source{value.constant ? "" : pointer(module, pointers, leaf), value.tensor().dtype, {}};
    if (made != kNoNode)
      source.quantised = quantised_in_c(body_, made, source.pointer);
    else if (value.constant)
      source.pointer = pointer(module, pointers, leaf);
    sources.push_back(std::move(source));
  }
  CWriter writer(module, body_, core_, std::move(sources), {{result, stored, steps}});
  (*n.room->emit)(n.attrs, writer);
  writer.finish();
  return writer;
}

}  // namespace espalier
