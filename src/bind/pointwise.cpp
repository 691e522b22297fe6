// Pointwise operators, single or in fused regions, as chains on f32 lanes. Any layout will do as
// long as the large operands agree on one.
#include "kernels/pointwise.h"
#include "kernels/quantise.h"

#include "bind/contraction.h"
#include "bind/families.h"
#include "ir/builder.h"

namespace espalier::bind {
namespace {

/// Strides of an operand in the result's logical dimensions, given its layout.
std::vector<int64_t> operand_strides(const Shape& shape, Layout layout, const Shape& result) {
  const auto own = layout_strides(shape, layout);
  std::vector<int64_t> s(result.size(), 0);
  const size_t lead = result.size() - shape.size();
  for (size_t d = 0; d < shape.size(); ++d) s[lead + d] = shape[d] == 1 ? 0 : own[d];
  return s;
}

template <class T>
std::vector<T> in_memory_order(const std::vector<T>& v, Layout layout) {
  if (layout == Layout::kPlain || v.size() < 3) return v;
  std::vector<T> p = {v[0]};
  p.insert(p.end(), v.begin() + 2, v.end());
  p.push_back(v[1]);
  return p;
}

/// Collects a chain over the request's operands (and constants of a region's body).
class ChainBuilder {
 public:
  explicit ChainBuilder(const BindRequest& r) : r_(r), result_(r.out_shape(0)) {
    // The layout of the first operand as large as the result.
    for (size_t i = 0; i < r.in.size(); ++i)
      if (r.in.has(i) && r.in_shape(i) == result_ &&
          !layouts_agree(result_, r.layout(i), Layout::kPlain))
        layout_ = r.layout(i);
    chain_.shape = in_memory_order(result_, layout_);
  }

  Layout layout() const { return layout_; }
  kernels::PointwiseChain& chain() { return chain_; }
  std::vector<Tensor>& constants() { return constants_; }
  std::vector<Layout> operand_layouts() const {
    std::vector<Layout> layouts;
    for (size_t i = 0; i < r_.in.size(); ++i)
      layouts.push_back(r_.in.has(i) && r_.in_shape(i) == result_ ? layout_ : Layout::kPlain);
    return layouts;
  }

  /// Operand of the chain for operand i of the request.
  std::optional<std::string> add_operand(size_t i) {
    const Layout own = r_.in_shape(i) == result_ ? layout_ : Layout::kPlain;
    return add(r_.in_dtype(i), r_.in_shape(i), own);
  }
  std::optional<std::string> add_constant(const Tensor& t) {
    constants_.push_back(t);
    return add(t.dtype(), t.shape(), Layout::kPlain);
  }

 private:
  std::optional<std::string> add(DType type, const Shape& shape, Layout layout) {
    if (!kernels::pointwise_handles(type) && numel(shape) != 0)
      return "an operand is " + std::string(name_of(type)) + ", which f32 lanes do not hold";
    if (shape.size() > result_.size()) return "an operand has more axes than the result";
    chain_.operands.push_back(
        {type, in_memory_order(operand_strides(shape, layout, result_), layout_)});
    return std::nullopt;
  }

  const BindRequest& r_;
  Shape result_;
  Layout layout_ = Layout::kPlain;
  kernels::PointwiseChain chain_;
  std::vector<Tensor> constants_;
};

Bound finish(const BindRequest& r, ChainBuilder& b, std::string name) {
  const size_t results = b.chain().results.size();
  for (size_t i = 0; i < r.out.size(); ++i) {
    if (r.wanted[i] != (i < results)) return Refuse{"another result than the first is asked for"};
    if (i >= results) continue;
    if (r.out_shape(i) != r.out_shape(0)) return Refuse{"results of different shapes"};
    if (!kernels::pointwise_handles(r.out_dtype(i)))
      return Refuse{"the result is " + std::string(name_of(r.out_dtype(i)))};
  }
  auto chain = std::make_shared<const kernels::PointwiseKernel>(std::move(b.chain()));
  const size_t operands = r.in.size();
  auto kernel = function_kernel(std::move(name),
                                [chain, constants = b.constants(), operands](const KernelArgs& a) {
                                  if (constants.empty()) return chain->run(a.in, a.out);
                                  const void* in[32];
                                  std::copy(a.in, a.in + operands, in);
                                  for (size_t i = 0; i < constants.size(); ++i)
                                    in[operands + i] = constants[i].raw();
                                  chain->run(in, a.out);
                                });
  kernel->operand_layouts = b.operand_layouts();
  kernel->result_layouts.assign(r.out.size(), b.layout());
  for (size_t o = 0; o < results; ++o)
    for (size_t i = 0; i < r.in.size(); ++i)
      if (r.in.has(i) && chain->covers(i) && size_of(r.in_dtype(i)) == size_of(r.out_dtype(o)))
        kernel->in_place.emplace_back(int(o), int(i));
  for (const Tensor& t : b.constants()) kernel->packed_bytes += t.bytes();
  return kernel;
}

/// Chains compute in f32: arithmetic on integers would not wrap.
bool is_integer(DType t) { return t == DType::u8 || t == DType::i8; }

/// Appends the steps of a node and returns the value of its result, or why there is none.
class StepWriter {
 public:
  StepWriter(ChainBuilder& b, int operands) : b_(b), operands_(operands) {}

  int append(ScalarOp op, int x, int y = -1, int z = -1) {
    b_.chain().steps.push_back({op, {x, y, z}});
    return operands_ + int(b_.chain().steps.size()) - 1;
  }
  /// (x - zero point) scale
  int dequantize(const QuantParams& q, int x) {
    const float s = q.scales[0];
    if (q.zero_points[0] != 0) x = append({ScalarCode::kAffine, 1, -float(q.zero_points[0])}, x);
    return append({ScalarCode::kAffine, s, 0}, x);
  }
  /// round(x / scale) + zero point; `scale` is the operand that holds the scale.
  int quantize(const QuantParams& q, int x, int scale) {
    x = append({ScalarCode::kDiv}, x, scale);
    if (q.zero_points[0] == 0) return x;
    return append({ScalarCode::kAffine, 1, float(q.zero_points[0])},
                  append({ScalarCode::kRound}, x));
  }

 private:
  ChainBuilder& b_;
  int operands_;
};

Bound bind_single(const BindRequest& r) {
  const auto op = (*r.room->pointwise)(r.attrs, r.in);
  if (!op) return Refuse{"is not pointwise here"};
  for (size_t i = 0; i < r.in.size(); ++i)
    if (r.in.has(i) && is_integer(r.in_dtype(i))) return Refuse{"8-bit arithmetic wraps"};
  if (r.in.size() > 16) return Refuse{"has more than 16 operands"};
  ChainBuilder b(r);
  const int count = operands_of(op->code);
  kernels::PointwiseStep step{*op, {-1, -1, -1}};
  for (size_t i = 0; i < r.in.size(); ++i) {
    if (!r.in.has(i)) return Refuse{"an operand is left out"};
    // Operands beyond the scalar function's are in its parameters; they are bound, not read.
    if (const auto no = b.add_operand(i)) return Refuse{*no};
    if (int(i) < count) step.args[i] = int(i);
  }
  b.chain().steps = {step};
  b.chain().results = {{int(r.in.size()), r.out_dtype(0), 0}};
  return finish(r, b, "pointwise");
}

Bound bind_region(const BindRequest& r) {
  const auto body = region_body(r);
  if (!body) return Refuse{"is no region"};
  const Graph& g = *body;
  if (r.in.size() + g.constants().size() > 32) return Refuse{"has more than 32 operands"};
  ChainBuilder b(r);
  std::vector<int> value(g.value_count(), -1);
  for (size_t i = 0; i < r.in.size(); ++i) {
    if (const auto no = b.add_operand(i)) return Refuse{*no};
    value[size_t(g.inputs()[i])] = int(i);
  }
  int next = int(r.in.size());
  for (ValueId v : g.constants()) {
    // Zero points are parameters of steps, never read as operands.
    const Tensor& t = *g.value(v).constant;
    if (const auto no =
            b.add_constant(kernels::pointwise_handles(t.dtype()) ? t : Tensor::scalar(0.0f)))
      return Refuse{*no};
    value[size_t(v)] = next++;
  }
  StepWriter writer(b, next);
  std::vector<float> for_nan(g.value_count(), 0);
  for (NodeId id : g.order()) {
    const Node& n = g.node(id);
    const std::string what = n.room->op.name;
    const TensorType& type = g.value(n.outputs[0]).tensor();
    if (!kernels::pointwise_handles(type.dtype)) return Refuse{"computes " + to_string(type)};
    int& result = value[size_t(n.outputs[0])];
    const auto arg = [&](size_t i) { return value[size_t(n.inputs[i])]; };
    if (const auto q = quantization_of(g, id)) {
      if (q->scales.size() != 1) return Refuse{"holds " + what + " with several scales"};
      result = is_integer(type.dtype) ? writer.quantize(*q, arg(0), arg(1))
                                      : writer.dequantize(*q, arg(0));
      for_nan[size_t(n.outputs[0])] = float(q->zero_points[0]);
      continue;
    }
    if (!n.room->pointwise.answered()) return Refuse{"holds " + what + ", which is not pointwise"};
    const auto op = (*n.room->pointwise)(n.attrs, types_in(g, id));
    if (!op) return Refuse{"holds " + what + ", which is not pointwise here"};
    if (is_integer(type.dtype)) return Refuse{"computes in 8 bits, which wrap"};
    const int count = operands_of(op->code);
    result = writer.append(*op, arg(0), count > 1 ? arg(1) : -1, count > 2 ? arg(2) : -1);
  }
  for (size_t i = 0; i < g.outputs().size(); ++i) {
    const auto at = size_t(g.outputs()[i]);
    b.chain().results.push_back({value[at], r.out_dtype(i), for_nan[at]});
  }
  // Integers inside a region are neither rounded nor saturated unless they leave it.
  for (NodeId id : g.order())
    for (ValueId v : g.node(id).inputs)
      if (v != kNoValue && g.value(v).producer != kNoNode && is_integer(g.value(v).tensor().dtype))
        return Refuse{"goes on with integers it computed"};
  return finish(r, b, "pointwise chain of " + std::to_string(g.order().size()));
}

Bound bind_quantization(const BindRequest& r) {
  Graph g;  // the node alone
  Values in;
  for (size_t i = 0; i < r.in.size(); ++i) {
    const std::string name = "x" + std::to_string(i);
    in.push_back(!r.in.has(i)       ? kNoValue
                 : r.in.constant(i) ? g.add_constant(name, *r.in.constant(i))
                                    : g.add_input(name, r.in[i]));
  }
  const NodeId id = g.add_node(*r.room, r.attrs, in, r.out);
  const auto q = quantization_of(g, id);
  if (!q) return Refuse{"scale or zero point is not known at compile time"};
  if (q->scales.size() != 1) return Refuse{"has several scales"};
  if (!kernels::pointwise_handles(r.in_dtype(0)))
    return Refuse{"the operand is " + std::string(name_of(r.in_dtype(0)))};
  if (r.in_dtype(0) == DType::f32 && is_integer(r.out_dtype(0))) {
    const kernels::Quantised to{r.out_dtype(0), q->scales[0], q->zero_points[0]};
    auto kernel = function_kernel("quantize", [to, n = r.in[0].numel()](const KernelArgs& k) {
      kernels::quantise(k.read<float>(0), to, k.out[0], n);
    });
    kernel->operand_layouts = {r.layout(0)};
    kernel->result_layouts = {r.layout(0)};
    return kernel;
  }
  ChainBuilder b(r);
  if (const auto no = b.add_operand(0)) return Refuse{*no};
  for (size_t i = 1; i < r.in.size(); ++i)
    if (const auto no = b.add_constant(Tensor::scalar(q->scales[0]))) return Refuse{*no};
  b.constants().clear();
  // Operands 1 and 2 are bound in their places; only the scale is read.
  StepWriter writer(b, int(r.in.size()));
  const bool narrows = is_integer(r.out_dtype(0));
  if (r.in_dtype(1) != DType::f32) return Refuse{"the scale is not f32"};
  const int y = narrows ? writer.quantize(*q, 0, 1) : writer.dequantize(*q, 0);
  b.chain().results = {{y, r.out_dtype(0), float(q->zero_points[0])}};
  return finish(r, b, narrows ? "pointwise quantize" : "pointwise dequantize");
}

// Conversions between the types that lanes read and write.
Bound bind_cast(const BindRequest& r) {
  ChainBuilder b(r);
  if (const auto no = b.add_operand(0)) return Refuse{*no};
  b.chain().steps = {{{ScalarCode::kIdentity}, {0, -1, -1}}};
  if (is_integer(r.out_dtype(0))) return Refuse{"casts to integers cut off and wrap"};
  b.chain().results = {{1, r.out_dtype(0), 0}};
  return finish(r, b, "pointwise cast");
}

}  // namespace

Entries pointwise_entries() {
  return {{"espalier.Fused", {"pointwise", bind_region}},
          {"Cast", {"pointwise", bind_cast}},
          {"QuantizeLinear", {"pointwise", bind_quantization}},
          {"DequantizeLinear", {"pointwise", bind_quantization}}};
}

std::vector<Candidate> pointwise_candidates() { return {{"pointwise", bind_single}}; }

}  // namespace espalier::bind
