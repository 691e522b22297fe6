// Appends nodes to a graph with types inferred at once. The way gradients, expansions, passes,
// definitions and tests write graphs.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "ir/facets.h"

namespace espalier {

class Builder {
 public:
  explicit Builder(Graph& graph) : graph_(graph) {}
  Graph& graph() { return graph_; }

  /// Appends `full_name` ("Conv", "espalier.ConvGradInput") with generic attributes; returns its
  /// outputs. Throws UserError if types do not fit.
  Values op(std::string_view full_name, Values inputs, const AttributeMap& attributes = {},
            std::string name = "", std::vector<std::string> output_names = {});
  /// The same, for operators with one result.
  ValueId one(std::string_view full_name, Values inputs, const AttributeMap& attributes = {},
              std::string name = "");
  /// Appends with attributes already typed.
  Values op(const Room& room, Attributes attributes, Values inputs, std::string name = "",
            std::vector<std::string> output_names = {});

  const TensorType& type(ValueId v) const { return graph_.value(v).tensor(); }
  ValueId constant(Tensor value, std::string name = "");
  /// A scalar constant of the element type of `like`.
  ValueId scalar(double value, ValueId like);
  /// A constant list of i64.
  ValueId ints(std::vector<int64_t> values);

  ValueId add(ValueId a, ValueId b) { return one("Add", {a, b}); }
  ValueId sub(ValueId a, ValueId b) { return one("Sub", {a, b}); }
  ValueId mul(ValueId a, ValueId b) { return one("Mul", {a, b}); }
  ValueId div(ValueId a, ValueId b) { return one("Div", {a, b}); }
  // With a number on the right; it must be written as a double (1.0), for an int is a ValueId.
  ValueId add(ValueId a, double b) { return add(a, scalar(b, a)); }
  ValueId mul(ValueId a, double b) { return mul(a, scalar(b, a)); }
  ValueId neg(ValueId a) { return one("Neg", {a}); }
  ValueId exp(ValueId a) { return one("Exp", {a}); }
  ValueId sqrt(ValueId a) { return one("Sqrt", {a}); }
  ValueId matmul(ValueId a, ValueId b) { return one("MatMul", {a, b}); }
  ValueId where(ValueId c, ValueId a, ValueId b) { return one("Where", {c, a, b}); }
  ValueId less(ValueId a, ValueId b) { return one("Less", {a, b}); }
  ValueId greater(ValueId a, ValueId b) { return one("Greater", {a, b}); }
  ValueId transpose(ValueId a, std::vector<int64_t> permutation);
  ValueId reshape(ValueId a, std::vector<int64_t> shape);
  /// a [N, ...] as [N, rest...], whether N is known or not. Extents of `rest` may be 0, which is
  /// none here, where N is known.
  ValueId reshape_behind_first(ValueId a, std::vector<int64_t> rest);
  ValueId reduce_sum(ValueId a, std::vector<int64_t> axes, bool keepdims = true);
  ValueId reduce_mean(ValueId a, std::vector<int64_t> axes, bool keepdims = true);
  ValueId cast(ValueId a, DType to);
  /// Sums `gradient` over the axes along which `like` was broadcast, giving `like`'s shape.
  ValueId unbroadcast(ValueId gradient, ValueId like);

 private:
  Graph& graph_;
};

/// UserError unless the operator takes that many operands and none that it needs is omitted.
void check_operands(const Room& room, const TypesIn& in);
/// Inference for given operands; checks arity. Where a room needs the rank of an operand whose rank
/// is not known, its answers for all ranks are joined.
Types infer_types(const Room& room, const Attributes& attrs, const TypesIn& in);
/// Inference for a node about to be added. Checks arity; UserError names `where`.
Types infer_types(const Graph& graph, const Room& room, const Attributes& attrs,
                  const Values& inputs, const std::string& where);
/// Operand types of a node, with constants visible.
TypesIn types_in(const Graph& graph, const Room& room, const Values& inputs,
                 const std::string& where);
TypesIn types_in(const Graph& graph, NodeId node);
/// Types of its results; those nobody asked for as inference gives them.
Types types_out(const Graph& graph, NodeId node);

/// Writes a node's expansion into `builder`'s graph in place of the node's operator.
Values expand_node(const Room& room, const Attributes& attrs, Builder& builder,
                   const Values& inputs);

}  // namespace espalier
