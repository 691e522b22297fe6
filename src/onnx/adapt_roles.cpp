// Which constants of an imported network are weights: floats, and integers that are dequantised.
#include <array>

#include "ir/room.h"
#include "onnx/adapt.h"

namespace espalier {
namespace {

struct Operand {
  std::string_view op;
  size_t slot;
  Role role;
};

// Operands that are no weights although they are float lists.
constexpr std::array kExceptions = {
    Operand{"BatchNormalization", 3, Role::kBuffer},
    Operand{"BatchNormalization", 4, Role::kBuffer},
    Operand{"Resize", 1, Role::kNone},
    Operand{"Resize", 2, Role::kNone},
    Operand{"Pad", 2, Role::kNone},
    Operand{"RoiAlign", 1, Role::kNone},
    Operand{"STFT", 2, Role::kNone},
    Operand{"QuantizeLinear", 0, Role::kNone},
    Operand{"QuantizeLinear", 1, Role::kNone},
    Operand{"DequantizeLinear", 1, Role::kNone},
    Operand{"QLinearConv", 1, Role::kNone},
    Operand{"QLinearConv", 4, Role::kNone},
    Operand{"QLinearConv", 6, Role::kNone},
    Operand{"QLinearMatMul", 1, Role::kNone},
    Operand{"QLinearMatMul", 4, Role::kNone},
    Operand{"QLinearMatMul", 6, Role::kNone},
    Operand{"OneHot", 2, Role::kNone},
    Operand{"Clip", 1, Role::kNone},
    Operand{"Clip", 2, Role::kNone},
    Operand{"Dropout", 1, Role::kNone},
    Operand{"LSTM", 5, Role::kNone},
    Operand{"LSTM", 6, Role::kNone},
    Operand{"GRU", 5, Role::kNone},
    Operand{"RNN", 5, Role::kNone},
    Operand{"MatMulNBits", 2, Role::kNone},
    Operand{"MatMulNBits", 3, Role::kNone},
};

Role role_of_operand(std::string_view op, size_t slot) {
  for (const Operand& e : kExceptions)
    if (e.op == op && e.slot == slot) return e.role;
  return Role::kParameter;
}

bool reads(const Node& n, const std::vector<bool>& data) {
  bool any = n.inputs.empty();
  for (ValueId v : n.inputs) any = any || (v != kNoValue && data[size_t(v)]);
  return any;
}

/// Which values depend on what is fed to the network.
std::vector<bool> data_values(const Graph& graph) {
  std::vector<bool> data(graph.value_count(), false);
  for (ValueId v : graph.inputs()) data[size_t(v)] = true;
  for (NodeId id : graph.order()) {
    const Node& n = graph.node(id);
    const bool fed = reads(n, data);
    for (ValueId v : n.outputs)
      if (v != kNoValue) data[size_t(v)] = fed;
  }
  return data;
}

}  // namespace

void assign_roles(Graph& graph, const std::unordered_set<ValueId>& settings) {
  const std::vector<bool> data = data_values(graph);
  std::vector<Role> role(graph.value_count(), Role::kNone);
  std::vector<bool> stored(graph.value_count(), false);  // read as numbers from integers
  const auto& order = graph.order();
  for (size_t k = order.size(); k-- > 0;) {
    const Node& n = graph.node(order[k]);
    const bool fed = reads(n, data);
    for (size_t i = 0; i < n.inputs.size(); ++i) {
      const ValueId v = n.inputs[i];
      if (v == kNoValue || data[size_t(v)]) continue;
      Role r = role_of_operand(n.room->op.name, i);
      if (!fed && r == Role::kParameter) r = role[size_t(n.outputs[0])];
      if (n.room->op.name == "DequantizeLinear" && i == 0) stored[size_t(v)] = true;
      if (role[size_t(v)] != Role::kParameter && r != Role::kNone) role[size_t(v)] = r;
    }
  }
  for (ValueId v : graph.constants()) {
    const Value& value = graph.value(v);
    const bool numbers = is_float(value.constant->dtype()) || stored[size_t(v)];
    if (numbers && value.constant->rank() > 0 && !settings.contains(v))
      graph.mutable_value(v).role = role[size_t(v)];
  }
}

}  // namespace espalier
