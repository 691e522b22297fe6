#include "bind/contraction.h"

#include <algorithm>
#include <limits>

#include "bind/attribute_reader.h"
#include "bind/strided_view.h"
#include "ir/builder.h"
#include "ir/interpret.h"

namespace espalier::bind {

bool QuantParams::symmetric() const {
  return std::all_of(zero_points.begin(), zero_points.end(), [](int32_t z) { return z == 0; });
}

std::shared_ptr<const Graph> region_body(const BindRequest& r) {
  if (!r.room->expand.answered()) return nullptr;
  const AttributeMap map = r.room->print(r.attrs, true);
  const auto found = map.find("body");
  if (found == map.end()) return nullptr;
  const auto* body = std::get_if<GraphRef>(&found->second);
  if (!body || !*body || (*body)->inputs().size() != r.in.size()) return nullptr;
  bool typed = true;
  for (size_t i = 0; i < r.in.size(); ++i)
    typed = typed && (*body)->value((*body)->inputs()[i]).tensor() == r.in[i];
  if (typed) return *body;
  Graph g = (*body)->compacted();
  for (size_t i = 0; i < r.in.size(); ++i) g.mutable_value(g.inputs()[i]).type = r.in[i];
  reinfer(g);
  return std::make_shared<const Graph>(std::move(g));
}

namespace {

struct Refusal {
  std::string why;
};

bool is(const Node& n, const char* name) {
  return n.room->op.domain.empty() && n.room->op.name == name;
}

std::optional<QuantParams> params_of(const Graph& g, const Node& n, DType type) {
  const Value& scale = g.value(n.inputs[1]);
  if (!scale.constant || !is_float(scale.constant->dtype())) return std::nullopt;
  QuantParams q;
  q.type = type;
  const AttributeReader attributes(*n.room, n.attrs);
  if (attributes.integer("block_size", 0) != 0) return std::nullopt;
  q.axis = attributes.integer("axis", 1);
  for (int64_t i = 0; i < scale.constant->size(); ++i)
    q.scales.push_back(float(scale.constant->at(i)));
  q.zero_points.assign(q.scales.size(), 0);
  if (n.inputs.size() > 2 && n.inputs[2] != kNoValue) {
    const Value& zero = g.value(n.inputs[2]);
    if (!zero.constant || zero.constant->size() != scale.constant->size()) return std::nullopt;
    for (int64_t i = 0; i < zero.constant->size(); ++i)
      q.zero_points[size_t(i)] = int32_t(zero.constant->int_at(i));
  }
  return q;
}

/// Reads a region's body: one operator, dequantisations before it, a line of pointwise nodes after.
class Reader {
 public:
  Reader(const BindRequest& request, std::shared_ptr<const Graph> body, Transposed transposed)
      : request_(request), g_(*body), transposed_(transposed), readers_(g_.users()) {
    c_.body = std::move(body);
  }

  Contraction read() {
    find_main();
    const Node& main = g_.node(main_);
    c_.room = main.room;
    c_.attrs = main.attrs;
    c_.result = g_.value(main.outputs[0]).tensor();
    for (ValueId v : main.inputs) {
      c_.operands.emplace_back();
      if (v == kNoValue) continue;
      c_.operands.back() = c_.operands.size() == 2 ? second_operand(v) : operand(v);
    }
    follow(main.outputs[0]);
    if (seen_ != g_.order().size()) throw Refusal{"the region is no line of operators"};
    return std::move(c_);
  }

 private:
  void find_main() {
    if (g_.outputs().size() != 1) throw Refusal{"the region has several results"};
    for (NodeId id : g_.order()) {
      const Node& n = g_.node(id);
      if (n.room->pointwise.answered() || is(n, "DequantizeLinear") || is(n, "QuantizeLinear") ||
          is(n, "Cast"))
        continue;
      if (transposed_ == Transposed::kRead && swaps_last_axes(g_, id)) continue;
      if (main_ != kNoNode) throw Refusal{"the region holds several operators"};
      main_ = id;
    }
    if (main_ == kNoNode) throw Refusal{"the region is pointwise"};
    for (size_t i = 1; i < g_.node(main_).outputs.size(); ++i)
      if (const ValueId v = g_.node(main_).outputs[i];
          v != kNoValue && !readers_[size_t(v)].empty())
        throw Refusal{"its operator has several results"};
    ++seen_;
  }

  ContractionOperand second_operand(ValueId v) {
    const NodeId maker = g_.value(v).producer;
    if (transposed_ == Transposed::kRefused || maker == kNoNode || !swaps_last_axes(g_, maker))
      return operand(v);
    ++seen_;
    ContractionOperand o = operand(g_.node(maker).inputs[0]);
    if (o.quant || o.constant) throw Refusal{"what is transposed is a constant or quantised"};
    o.transposed = true;
    return o;
  }

  ContractionOperand operand(ValueId v) {
    const Value& value = g_.value(v);
    ContractionOperand o;
    if (value.producer != kNoNode) {
      const Node& n = g_.node(value.producer);
      if (!is(n, "DequantizeLinear")) throw Refusal{"an operand is computed inside the region"};
      if (n.inputs[0] == kNoValue || g_.value(n.inputs[0]).producer != kNoNode)
        throw Refusal{"an operand is computed inside the region"};
      ++seen_;
      o = operand(n.inputs[0]);
      o.quant = params_of(g_, n, o.type.dtype);
      if (!o.quant) throw Refusal{"a scale or zero point is not known at compile time"};
      return o;
    }
    o.type = value.tensor();
    if (value.constant) o.constant = &*value.constant;
    const auto inputs = g_.inputs();
    const auto found = std::find(inputs.begin(), inputs.end(), v);
    if (found != inputs.end()) {
      o.outer = int(found - inputs.begin());
      o.constant = request_.in.constant(size_t(o.outer));
    }
    return o;
  }

  void follow(ValueId v) {
    while (v != g_.outputs()[0]) {
      const auto& readers = readers_[size_t(v)];
      if (readers.size() != 1) throw Refusal{"a value inside the region is read twice"};
      const Node& n = g_.node(readers[0]);
      ++seen_;
      if (c_.quantized) throw Refusal{"the region goes on after its quantisation"};
      if (is(n, "QuantizeLinear")) {
        c_.quantized = params_of(g_, n, g_.value(n.outputs[0]).tensor().dtype);
        if (!c_.quantized || c_.quantized->scales.size() != 1)
          throw Refusal{"the scale of the result is not one known number"};
      } else if (is(n, "Cast")) {
        narrow(g_.value(n.outputs[0]).tensor().dtype);
      } else if (!take_bias(readers[0], v)) {
        c_.steps.push_back(step(readers[0], v));
      }
      v = n.outputs[0];
    }
  }

  /// Sums of integers may leave in 16 bits, and be added to what has as many.
  void narrow(DType to) {
    if (!c_.integer() || !c_.steps.empty() || to != DType::bf16)
      throw Refusal{"the type is changed inside the region"};
    c_.result.dtype = to;
  }

  /// Whether the node adds one constant for each column to a product without bias: its bias then.
  /// To products of integers it may come dequantised.
  bool take_bias(NodeId id, ValueId v) {
    const Node &n = g_.node(id), &main = g_.node(main_);
    const bool product = is(main, "MatMul") || (is(main, "Gemm") && c_.integer());
    if (!is(n, "Add") || !product || c_.operands.size() != 2 || !c_.steps.empty()) return false;
    const ValueId other = n.inputs[0] == v ? n.inputs[1] : n.inputs[0];
    const NodeId maker = g_.value(other).producer;
    const bool dequantised = maker != kNoNode && is(g_.node(maker), "DequantizeLinear");
    if (dequantised && !c_.integer()) return false;
    const Value& stored = g_.value(dequantised ? g_.node(maker).inputs[0] : other);
    if (!stored.constant || stored.constant->rank() != 1 ||
        !c_.result.dims.back().is(stored.constant->size()))
      return false;
    c_.operands.emplace_back(operand(other));
    return true;
  }

  ContractionStep step(NodeId id, ValueId v) {
    const Node& n = g_.node(id);
    if (!n.room->pointwise.answered()) throw Refusal{"the operator after it is not pointwise"};
    const auto op = (*n.room->pointwise)(n.attrs, types_in(g_, id));
    if (!op) throw Refusal{"the operator after it is not pointwise here"};
    ContractionStep s;
    s.op = *op;
    if (operands_of(s.op.code) == 1) return s;
    if (s.op.code != ScalarCode::kAdd) throw Refusal{"the operator after it is not an addition"};
    s.residual = operand(n.inputs[0] == v ? n.inputs[1] : n.inputs[0]);
    if (s.residual->type.dims != c_.result.dims)
      throw Refusal{"what is added has not the result's shape"};
    if (s.residual->outer < 0 || s.residual->constant)
      throw Refusal{"a constant of the result's shape is added"};
    return s;
  }

  const BindRequest& request_;
  const Graph& g_;
  Transposed transposed_;
  std::vector<std::vector<NodeId>> readers_;
  Contraction c_;
  NodeId main_ = kNoNode;
  size_t seen_ = 0;
};

Contraction single_node(const BindRequest& r) {
  Contraction c;
  c.room = r.room;
  c.attrs = r.attrs;
  c.result = r.out_type(0);
  for (size_t i = 0; i < r.in.size(); ++i) {
    c.operands.emplace_back();
    if (!r.in.has(i)) continue;
    ContractionOperand o;
    o.type = r.in[i];
    o.constant = r.in.constant(i);
    o.outer = int(i);
    c.operands.back() = std::move(o);
  }
  return c;
}

bool scales_freely(const ScalarOp& op) {
  return op.code == ScalarCode::kIdentity || op.code == ScalarCode::kRelu ||
         op.code == ScalarCode::kLeakyRelu || op.code == ScalarCode::kClip;
}

// Steps on y / s instead of y.
ScalarOp scaled(ScalarOp op, float s) {
  if (op.code == ScalarCode::kClip) {
    op.p0 /= s;
    op.p1 /= s;
  }
  return op;
}

bool is_shift(const kernels::EpilogueStep& s) {
  return s.kind == kernels::EpilogueStep::Kind::kScalar && s.op.code == ScalarCode::kAffine &&
         s.op.p0 == 1;
}

/// max(y + a, 0) + b = max(y + a + b, b): one shift for two. oneDNN 2.6.3 is wrong where a sum is
/// followed by a shift, Relu and another shift.
void shift_before_relu(std::vector<kernels::EpilogueStep>& steps) {
  const size_t n = steps.size();
  if (n < 3 || !is_shift(steps[n - 3]) || !is_shift(steps[n - 1])) return;
  ScalarOp& between = steps[n - 2].op;
  if (steps[n - 2].kind != kernels::EpilogueStep::Kind::kScalar ||
      between.code != ScalarCode::kRelu)
    return;
  const float by = steps[n - 1].op.p1;
  steps[n - 3].op.p1 += by;
  between = {ScalarCode::kClip, by, std::numeric_limits<float>::max()};
  steps.pop_back();
}

}  // namespace

std::optional<QuantParams> quantization_of(const Graph& g, NodeId id) {
  const Node& n = g.node(id);
  if (!is(n, "DequantizeLinear") && !is(n, "QuantizeLinear")) return std::nullopt;
  const ValueId narrow = is(n, "QuantizeLinear") ? n.outputs[0] : n.inputs[0];
  return params_of(g, n, g.value(narrow).tensor().dtype);
}

std::variant<Contraction, Refuse> contraction_of(const BindRequest& request,
                                                 Transposed transposed) {
  auto body = region_body(request);
  if (!body) return single_node(request);
  try {
    return Reader(request, std::move(body), transposed).read();
  } catch (const Refusal& r) {
    return Refuse{r.why};
  }
}

DType result_type(const Contraction& c) { return c.quantized ? c.quantized->type : c.result.dtype; }

std::variant<kernels::Epilogue, Refuse> epilogue_of(const Contraction& c, DType result,
                                                    std::vector<float> sum_scales) {
  using Kind = kernels::EpilogueStep::Kind;
  if (is_float(result) && result != DType::f32 && result != DType::bf16)
    return Refuse{"the result is " + std::string(name_of(result))};
  kernels::Epilogue e;
  e.scales = std::move(sum_scales);
  const float unit = c.quantized ? c.quantized->scales[0] : 1.0f;
  const float zero = c.quantized ? float(c.quantized->zero_points[0]) : 0.0f;
  // Where every step commutes with scaling, the result's scale joins that of the sum.
  const bool joined = std::all_of(c.steps.begin(), c.steps.end(), [](const ContractionStep& s) {
    return s.residual || scales_freely(s.op);
  });
  const float step_unit = joined ? unit : 1.0f;
  if (joined)
    for (float& s : e.scales) s /= unit;
  for (size_t i = 0; i < c.steps.size(); ++i) {
    const ContractionStep& s = c.steps[i];
    if (!s.residual) {
      // Unsigned integers without an offset cut off below zero by themselves.
      const bool last = i + 1 == c.steps.size();
      if (last && s.op.code == ScalarCode::kRelu && result == DType::u8 && zero == 0) continue;
      e.steps.push_back({Kind::kScalar, scaled(s.op, step_unit)});
      continue;
    }
    const ContractionOperand& r = *s.residual;
    if (r.quant && r.quant->scales.size() != 1) return Refuse{"the residual has several scales"};
    if (size_of(r.type.dtype) != size_of(result) || is_float(r.type.dtype) != is_float(result))
      return Refuse{"the residual is " + std::string(name_of(r.type.dtype)) + ", the result " +
                    std::string(name_of(result))};
    const float scale = (r.quant ? r.quant->scales[0] : 1.0f) / step_unit;
    kernels::EpilogueStep add{Kind::kResidual, {}, scale, r.type.dtype, size_t(r.outer)};
    e.steps.push_back(add);
    if (r.quant && r.quant->zero_points[0] != 0)
      e.steps.push_back(
          {Kind::kScalar, {ScalarCode::kAffine, 1, -scale * float(r.quant->zero_points[0])}});
  }
  const float last_scale = joined ? 1.0f : 1.0f / unit;
  if (last_scale != 1 || zero != 0)
    e.steps.push_back({Kind::kScalar, {ScalarCode::kAffine, last_scale, zero}});
  shift_before_relu(e.steps);
  return e;
}

std::vector<std::pair<int, int>> residual_places(const Contraction& c) {
  std::vector<std::pair<int, int>> places;
  for (const ContractionStep& s : c.steps) {
    if (!s.residual) continue;
    // Not where the residual is read as an operand as well.
    const int outer = s.residual->outer;
    const auto reads = [&](const auto& o) { return o && o->outer == outer; };
    if (std::none_of(c.operands.begin(), c.operands.end(), reads)) places.emplace_back(0, outer);
  }
  return places;
}

}  // namespace espalier::bind
