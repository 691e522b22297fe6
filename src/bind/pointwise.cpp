// Pointwise operators, single or in fused regions, as chains on f32 lanes. Any layout will do as
// long as the large operands agree on one.
#include "kernels/pointwise.h"

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
    if (!kernels::pointwise_reads(type) && numel(shape) != 0)
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
    if (!kernels::pointwise_writes(r.out_dtype(i)))
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

/// Chains compute in f32: wider types and integers would lose digits.
bool computes_in_lanes(const BindRequest& r) {
  for (size_t i = 0; i < r.in.size(); ++i)
    if (r.in.has(i) && (r.in_dtype(i) == DType::u8 || r.in_dtype(i) == DType::i8)) return false;
  return true;
}

Bound bind_single(const BindRequest& r) {
  const auto op = (*r.room->pointwise)(r.attrs, r.in);
  if (!op) return Refuse{"is not pointwise here"};
  if (!computes_in_lanes(r)) return Refuse{"8-bit arithmetic wraps, lanes do not"};
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
  b.chain().results = {{int(r.in.size()), r.out_dtype(0)}};
  return finish(r, b, "pointwise");
}

Bound bind_region(const BindRequest& r) {
  const auto body = region_body(r);
  if (!body) return Refuse{"is no region"};
  if (!computes_in_lanes(r)) return Refuse{"8-bit arithmetic wraps, lanes do not"};
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
    if (const auto no = b.add_constant(*g.value(v).constant)) return Refuse{*no};
    value[size_t(v)] = next++;
  }
  for (NodeId id : g.order()) {
    const Node& n = g.node(id);
    const std::string what = n.room->op.name;
    if (!n.room->pointwise.answered()) return Refuse{"holds " + what + ", which is not pointwise"};
    const auto op = (*n.room->pointwise)(n.attrs, types_in(g, id));
    if (!op) return Refuse{"holds " + what + ", which is not pointwise here"};
    const TensorType& type = g.value(n.outputs[0]).tensor();
    if (!kernels::pointwise_writes(type.dtype)) return Refuse{"computes " + to_string(type)};
    kernels::PointwiseStep step{*op, {-1, -1, -1}};
    for (int i = 0; i < operands_of(op->code); ++i)
      step.args[i] = value[size_t(n.inputs[size_t(i)])];
    b.chain().steps.push_back(step);
    value[size_t(n.outputs[0])] = next++;
  }
  for (size_t i = 0; i < g.outputs().size(); ++i)
    b.chain().results.emplace_back(value[size_t(g.outputs()[i])], r.out_dtype(i));
  return finish(r, b, "pointwise chain of " + std::to_string(g.order().size()));
}

// Conversions between the types that lanes read and write.
Bound bind_cast(const BindRequest& r) {
  ChainBuilder b(r);
  if (const auto no = b.add_operand(0)) return Refuse{*no};
  b.chain().steps = {{{ScalarCode::kIdentity}, {0, -1, -1}}};
  b.chain().results = {{1, r.out_dtype(0)}};
  return finish(r, b, "pointwise cast");
}

}  // namespace

Entries pointwise_entries() {
  return {{"espalier.Fused", {"pointwise", bind_region}}, {"Cast", {"pointwise", bind_cast}}};
}

std::vector<Candidate> pointwise_candidates() { return {{"pointwise", bind_single}}; }

}  // namespace espalier::bind
