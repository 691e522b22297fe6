// The one representation of a model, a training step, a quantised or a pruned network: a typed,
// single-assignment dataflow graph with ONNX operator semantics.
//
// Values and nodes are named by small integers that stay valid for the life of the graph; erased
// ones leave holes. Nodes are kept in a topological order (every input is produced before).
#pragma once

#include <deque>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ir/attribute.h"
#include "ir/type.h"

namespace espalier {

struct Room;

using ValueId = int32_t;
using NodeId = int32_t;
/// An omitted optional operand.
inline constexpr ValueId kNoValue = -1;
inline constexpr NodeId kNoNode = -1;

/// What a constant is for: training updates parameters, carries buffers along (running
/// statistics), and leaves the rest alone.
enum class Role : uint8_t {
  kNone,
  kParameter,
  kBuffer,
};

struct Value {
  std::string name;  ///< unique in its graph, never empty
  Type type;
  NodeId producer = kNoNode;       ///< kNoNode for inputs and constants
  int32_t output_index = 0;        ///< which output of the producer
  std::optional<Tensor> constant;  ///< set for constants (initialisers)
  Role role = Role::kNone;
  bool alive = true;

  const TensorType& tensor() const { return type.tensor(); }
};

struct Node {
  const Room* room = nullptr;
  std::string name;  ///< for messages; may be empty
  Attributes attrs;
  std::vector<ValueId> inputs;   ///< kNoValue for omitted optional operands
  std::vector<ValueId> outputs;  ///< kNoValue for outputs nobody asked for
  bool alive = true;
};

/// A graph output that is fed back into a graph input on the next run: parameters, moments,
/// running statistics, random counters. The runtime may donate the input's buffer to the output.
struct StatePair {
  ValueId input;
  ValueId output;
};

class Graph {
 public:
  std::string name = "graph";
  /// Free-form facts that travel with the model (producer, class names, …).
  std::map<std::string, std::string> metadata;

  // ---- building -------------------------------------------------------------------------------
  ValueId add_input(std::string name, Type type);
  ValueId add_constant(std::string name, Tensor value, Role role = Role::kNone);
  /// Appends a node whose outputs get the given types. Empty output names are invented.
  NodeId add_node(const Room& room, Attributes attrs, std::vector<ValueId> inputs,
                  std::vector<Type> output_types, std::string name = "",
                  std::vector<std::string> output_names = {});
  void add_output(ValueId value) { outputs_.push_back(value); }
  void set_outputs(std::vector<ValueId> values) { outputs_ = std::move(values); }
  void add_state(ValueId input, ValueId output) { states_.push_back({input, output}); }

  // ---- reading --------------------------------------------------------------------------------
  // References stay valid while values and nodes are added, until the graph is assigned to.
  const Value& value(ValueId id) const;
  /// Whether the value has not been erased.
  bool alive(ValueId id) const { return values_[size_t(id)].alive; }
  const Node& node(NodeId id) const;
  Value& mutable_value(ValueId id);
  Node& mutable_node(NodeId id);
  std::span<const ValueId> inputs() const { return inputs_; }
  std::span<const ValueId> outputs() const { return outputs_; }
  std::span<const StatePair> states() const { return states_; }
  /// Living nodes in topological order.
  const std::vector<NodeId>& order() const { return order_; }
  /// Living constants, in order of creation.
  std::vector<ValueId> constants() const;
  size_t value_count() const { return values_.size(); }
  size_t node_count() const { return nodes_.size(); }
  /// The value of that name, or kNoValue.
  ValueId find(const std::string& name) const;
  bool is_constant(ValueId id) const { return id != kNoValue && value(id).constant.has_value(); }
  /// Nodes reading each value, indexed by ValueId (a node appears once per operand slot).
  std::vector<std::vector<NodeId>> users() const;
  /// A name not yet taken that starts with `base`.
  std::string fresh_name(const std::string& base) const;

  // ---- rewriting ------------------------------------------------------------------------------
  /// Readers of `from` (nodes, outputs, states) read `to`, whose maker takes the place of `from`'s.
  void replace_uses(ValueId from, ValueId to);
  void erase_node(NodeId id);  ///< its outputs must be unused
  /// Keeps a node's first `keep` results; the others (optional ones) must be unused.
  void drop_results(NodeId id, size_t keep);
  void erase_value(ValueId id);  ///< a constant or input nobody uses
  void erase_input(ValueId id);  ///< a graph input nobody uses
  void rename(ValueId id, std::string name);
  /// Removes nodes and constants that no output or state depends on; returns how many.
  int erase_dead();
  /// Restores the topological order after nodes were appended out of order. Throws UserError
  /// naming a node on a cycle.
  void sort();
  /// The graph without holes: ids change. Used when a graph is stored or compiled.
  Graph compacted() const;

 private:
  ValueId new_value(std::string name, Type type);

  // References to values and nodes outlive what is appended.
  std::deque<Value> values_;
  std::deque<Node> nodes_;
  std::vector<ValueId> inputs_, outputs_;
  std::vector<StatePair> states_;
  std::vector<NodeId> order_;
  std::unordered_map<std::string, ValueId> by_name_;
  mutable std::unordered_map<std::string, int> name_counters_;
};

/// "Conv 'layer1.0.conv1'": how messages name a node.
std::string describe(const Graph& graph, NodeId node);

}  // namespace espalier
