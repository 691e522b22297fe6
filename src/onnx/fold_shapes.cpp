#include "onnx/fold_shapes.h"

#include "ir/reference.h"
#include "ir/room.h"

namespace espalier {
namespace {

/// Results of more elements are left to the network.
constexpr int64_t kLargestFold = 1 << 16;

bool is_shape_type(DType d) { return d == DType::i64 || d == DType::i32 || d == DType::boolean; }

}  // namespace

std::optional<std::vector<Tensor>> shape_results(const Graph& graph,
                                                 const std::unordered_set<ValueId>& known,
                                                 const Room& room, const Attributes& attrs,
                                                 const Call& call, const Types& types) {
  if (room.known)
    if (auto t = room.known(attrs, types_in(graph, room, call.inputs, call.where)))
      return std::vector<Tensor>{std::move(*t)};
  if (!room.foldable() || call.inputs.empty()) return std::nullopt;
  bool integers = true, from_shapes = false;
  for (const Type& t : types) {
    if (!t.is_static() || t.tensor().numel() > kLargestFold) return std::nullopt;
    integers = integers && is_shape_type(t.tensor().dtype);
  }
  std::vector<const Tensor*> operands;
  for (ValueId v : call.inputs) {
    if (v != kNoValue && !graph.is_constant(v)) return std::nullopt;
    from_shapes = from_shapes || known.contains(v);
    operands.push_back(v == kNoValue ? nullptr : &*graph.value(v).constant);
  }
  if (!integers && !from_shapes) return std::nullopt;
  return run_reference(room, attrs, operands, call.where);
}

}  // namespace espalier
