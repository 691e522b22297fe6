// Inference batch normalisation is an affine map per channel, y = a x + c with
// a = scale / sqrt(var + epsilon) and c = bias - mean a (Ioffe & Szegedy, arXiv:1502.03167, eq.
// 12). Behind a contraction with constant weights it disappears into weight and bias; elsewhere it
// becomes a multiplication and an addition, which fuse with their pointwise neighbours.
#include "passes/fold_batch_norm.h"

#include <cmath>

#include "ir/builder.h"
#include "ir/patch.h"
#include "ir/room.h"

namespace espalier::passes {
namespace {

struct Affine {
  std::vector<double> a, c;  // per channel
};

std::optional<Affine> affine_of(const Graph& g, const Node& n) {
  if (!n.room->op.domain.empty() || n.room->op.name != "BatchNormalization") return std::nullopt;
  const AttributeMap attributes = n.room->print(n.attrs, true);
  if (std::get<int64_t>(attributes.at("training_mode")) != 0) return std::nullopt;
  for (size_t i = 1; i < 5; ++i)
    if (!g.is_constant(n.inputs.at(i))) return std::nullopt;
  const double epsilon = std::get<float>(attributes.at("epsilon"));
  const auto at = [&](size_t slot, int64_t i) { return g.value(n.inputs[slot]).constant->at(i); };
  Affine f;
  const int64_t channels = g.value(n.inputs[1]).constant->size();
  for (int64_t i = 0; i < channels; ++i) {
    const double a = at(1, i) / std::sqrt(at(4, i) + epsilon);
    f.a.push_back(a);
    f.c.push_back(at(2, i) - at(3, i) * a);
  }
  return f;
}

Tensor from_doubles(Shape shape, const std::vector<double>& values, DType dtype) {
  return Tensor::from<double>(std::move(shape), std::span<const double>(values)).cast(dtype);
}

/// The weight with index i along `axis` multiplied by a[i].
Tensor scaled(const Tensor& w, int64_t axis, const std::vector<double>& a) {
  const Tensor wide = w.cast(DType::f64);
  Tensor out(DType::f64, w.shape());
  const int64_t inner = product(w.shape(), size_t(axis) + 1, w.shape().size());
  const double* p = wide.data<double>();
  double* q = out.mutable_data<double>();
  for (int64_t i = 0; i < w.size(); ++i) q[i] = p[i] * a[size_t(i / inner) % a.size()];
  return out.cast(w.dtype());
}

/// Folds into the contraction before; false if there is none that can take it.
bool fold_into_contraction(Graph& g, const Readers& readers, NodeId norm, const Affine& f) {
  const auto before = contraction_before(g, readers, norm);
  if (!before) return false;
  const QuantForm& form = before->form;
  const Node n = g.node(before->node);
  if (!g.is_constant(n.inputs[size_t(form.weight)])) return false;
  const Value& w = g.value(n.inputs[size_t(form.weight)]);
  std::vector<double> bias = f.c;
  if (before->bias != kNoValue) {
    const Value& b = g.value(before->bias);
    if (!b.constant) return false;
    for (size_t i = 0; i < bias.size(); ++i) bias[i] += b.constant->at(int64_t(i)) * f.a[i];
  }
  const Values outputs = g.node(norm).outputs;
  Values inputs = n.inputs;
  const ValueId weight = g.add_constant(g.fresh_name(w.name + "_folded"),
                                        scaled(*w.constant, form.weight_axis, f.a), w.role);
  inputs[size_t(form.weight)] = weight;
  if (inputs.size() <= size_t(form.bias)) inputs.resize(size_t(form.bias) + 1, kNoValue);
  inputs[size_t(form.bias)] = g.add_constant(
      g.fresh_name(g.value(g.node(norm).inputs[2]).name + "_folded"),
      from_doubles({int64_t(bias.size())}, bias, w.tensor().dtype), Role::kParameter);
  Patch patch(g);
  const Values y = patch.builder().op(*n.room, n.attrs, inputs, n.name);
  patch.shunt(outputs[0], y[0]);
  patch.apply();
  return true;
}

void replace_by_affine(Graph& g, NodeId norm, const Affine& f) {
  const Node n = g.node(norm);
  const TensorType type = g.value(n.inputs[0]).tensor();
  Shape shape(size_t(type.rank()), 1);
  shape[1] = int64_t(f.a.size());
  Patch patch(g);
  Builder& b = patch.builder();
  const ValueId a = b.constant(from_doubles(shape, f.a, type.dtype));
  const ValueId c = b.constant(from_doubles(shape, f.c, type.dtype));
  patch.shunt(n.outputs[0], b.add(b.mul(n.inputs[0], a), c));
  patch.apply();
}

}  // namespace

std::optional<NormalisedContraction> contraction_before(const Graph& g, const Readers& readers,
                                                        NodeId norm) {
  const Node& own = g.node(norm);
  const ValueId x = own.inputs[0];
  const NodeId id = g.value(x).producer;
  if (id == kNoNode || readers.only(x) != norm) return std::nullopt;
  const Node& n = g.node(id);
  if (!n.room->quantize.answered()) return std::nullopt;
  const QuantForm form = (*n.room->quantize)(n.attrs, types_in(g, id));
  if (form.weight < 0 || form.bias < 0) return std::nullopt;
  // Factors on the product or the bias would have to be undone.
  const AttributeMap changed = n.room->print(n.attrs, false);
  if (changed.contains("alpha") || changed.contains("beta")) return std::nullopt;
  const TensorType &scale = g.value(own.inputs.at(1)).tensor(),
                   &w = g.value(n.inputs.at(size_t(form.weight))).tensor();
  if (!scale.is_static() || !w.is_static()) return std::nullopt;
  const int64_t channels = scale.numel();
  if (w.shape()[size_t(form.weight_axis)] != channels) return std::nullopt;
  NormalisedContraction found{id, form, kNoValue};
  if (n.inputs.size() > size_t(form.bias)) found.bias = n.inputs[size_t(form.bias)];
  if (found.bias != kNoValue) {
    const TensorType& b = g.value(found.bias).tensor();
    if (!b.is_static() || b.numel() != channels) return std::nullopt;
  }
  return found;
}

int fold_batch_norms(Graph& graph, const NormChoice& chosen) {
  int folded = 0;
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    const Node& n = graph.node(id);
    if (!tensors_only(graph, id)) continue;
    const auto f = affine_of(graph, n);
    if (!f || !chosen(graph, id) || graph.value(n.inputs[0]).tensor().rank() < 2) continue;
    folded += fold_into_contraction(graph, Readers(graph), id, *f);
  }
  graph.erase_dead();
  return folded;
}

int fold_batch_norm(Graph& graph) {
  int folded = 0;
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    const Node& n = graph.node(id);
    if (!tensors_only(graph, id)) continue;
    const auto f = affine_of(graph, n);
    if (!f || graph.value(n.inputs[0]).tensor().rank() < 2) continue;
    if (!fold_into_contraction(graph, Readers(graph), id, *f)) replace_by_affine(graph, id, *f);
    ++folded;
  }
  graph.erase_dead();
  return folded;
}

}  // namespace espalier::passes
