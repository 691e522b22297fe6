// Version adapters: one per change that ONNX made to an operator. A table says to which opsets each
// applies; applied in order they lift a node, written for any opset, to the form its room follows.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "ir/builder.h"

namespace onnx {
class NodeProto;
}

namespace espalier {

/// A node on its way into the graph: operands exist and are typed, the operator may still change.
struct Call {
  Builder& b;
  std::string op;
  std::string domain;
  int64_t opset = 0;
  std::string where;  ///< "net.onnx: Conv 'conv1'"
  std::string name;
  AttributeMap attrs;
  Values inputs;
  /// Names of results; empty for those nobody asked for.
  std::vector<std::string> outputs;
  /// Values whose ONNX type has 4 bits; here they are unpacked to 8.
  std::unordered_set<ValueId>& four_bit;
  /// Float constants that are settings (tables, masks), not weights.
  std::unordered_set<ValueId>& settings;
  /// How many of the last operands its bodies capture.
  size_t captured = 0;

  bool has(size_t i) const { return i < inputs.size() && inputs[i] != kNoValue; }
  /// Operand i, kNoValue where it is omitted.
  ValueId operand(size_t i) const { return has(i) ? inputs[i] : kNoValue; }
  const TensorType& type(size_t i) const;
  /// The value of operand i, which must be known. `what` names it in the refusal.
  const Tensor& constant(size_t i, const std::string& what) const;
  /// The same as numbers.
  std::vector<int64_t> ints(size_t i, const std::string& what) const;
  /// Sets operand i, with omitted operands before it where there are none yet.
  void set_input(size_t i, ValueId value);
  /// Whether result i was asked for.
  bool wants(size_t i) const { return i < outputs.size() && !outputs[i].empty(); }
  /// A constant that training leaves alone.
  ValueId setting(Tensor value);
  /// Refuses other counts of operands, omitted ones among the first `least`, and attributes that
  /// nobody took: for adapters that write the nodes themselves.
  void expect(size_t least, size_t most) const;
  /// Drops operand i and those after it.
  void drop_inputs(size_t first) {
    while (inputs.size() > first) inputs.pop_back();
  }

  /// Takes an attribute out of the map; nothing if absent. UserError if of another kind.
  std::optional<int64_t> take_int(const std::string& name);
  std::optional<float> take_float(const std::string& name);
  std::optional<std::string> take_string(const std::string& name);
  std::optional<std::vector<int64_t>> take_ints(const std::string& name);
  std::optional<std::vector<float>> take_floats(const std::string& name);

  [[noreturn]] void refuse(const std::string& what, const std::string& hint = "") const;
  [[noreturn]] void malformed(const std::string& what) const;
};

/// Changes the call in place (no answer), or writes the nodes itself and answers their results.
using AdaptFunction = std::optional<Values> (*)(Call&);

/// Beyond every opset, for adapters that always apply.
inline constexpr int64_t kEveryOpset = int64_t{1} << 32;

struct Adapter {
  std::string_view op;
  int64_t from, until;  ///< applies to nodes of opsets in [from, until)
  AdaptFunction apply;
  std::string_view becomes = "";  ///< the operator it turns into, if another
  std::string_view domain = "";
};

/// The adapters of each family, in the order they are applied.
std::span<const Adapter> pointwise_adapters();
std::span<const Adapter> movement_adapters();
std::span<const Adapter> layer_adapters();
std::span<const Adapter> resize_adapters();
std::span<const Adapter> quantization_adapters();
std::span<const Adapter> retired_adapters();
std::span<const Adapter> microsoft_layer_adapters();
std::span<const Adapter> microsoft_attention_adapters();
std::span<const Adapter> microsoft_grouped_adapters();
std::span<const Adapter> microsoft_integer_adapters();
std::span<const Adapter> control_adapters();

/// Applies every adapter that holds for the call's operator and opset, in order.
std::optional<Values> adapt(Call& call);
/// Whether the operator, or what it turns into in that opset, has a room.
bool importable(std::string_view op, std::string_view domain, int64_t opset);
/// Why an operator has no place here, where there is more to say; empty otherwise.
std::string_view why_not_importable(std::string_view op);

/// The attribute whose body is the only one that will run, by what is known of the operands; empty
/// where any may.
std::string body_taken(const Call& call);
/// Types of a body's inputs as far as the node's operands tell.
std::vector<std::optional<Type>> body_input_types(const Call& call, const onnx::NodeProto& node,
                                                  size_t inputs);

/// Gives the float constants of an imported network their roles. One is a weight if it reaches,
/// directly or through nodes on constants alone, an operand that is read together with data;
/// running statistics are buffers; ranges, scales, sizes and `settings` are neither.
void assign_roles(Graph& graph, const std::unordered_set<ValueId>& settings = {});

}  // namespace espalier
