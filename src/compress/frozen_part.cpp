#include "compress/frozen_part.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "compress/calibrate.h"
#include "compress/half_precision.h"
#include "compress/output_error.h"
#include "compress/quantize.h"
#include "ir/derive.h"
#include "ir/room.h"
#include "train/graph_part.h"

namespace espalier {
namespace {

using Batches = std::vector<std::vector<Tensor>>;

/// Values that the trained part reads of the frozen one.
std::vector<ValueId> end_of_frozen_part(const Graph& g, const std::set<std::string>& trained) {
  std::vector<ValueId> moving;
  for (const std::string& name : trained)
    if (const ValueId v = g.find(name); v != kNoValue) moving.push_back(v);
  for (NodeId id : g.order())
    if (g.node(id).room->random_key >= 0)
      for (ValueId v : g.node(id).outputs)
        if (v != kNoValue) moving.push_back(v);
  const auto behind = values_behind(g, moving);
  std::vector<bool> read(g.value_count(), false);
  for (ValueId v : g.outputs()) read[size_t(v)] = true;
  for (NodeId id : g.order()) {
    const Node& n = g.node(id);
    const auto moves = [&](ValueId v) { return v != kNoValue && behind[size_t(v)]; };
    if (std::ranges::none_of(n.inputs, moves) && std::ranges::none_of(n.outputs, moves)) continue;
    for (ValueId v : n.inputs)
      if (v != kNoValue) read[size_t(v)] = true;
  }
  std::vector<ValueId> ends;
  for (NodeId id : g.order())
    for (ValueId v : g.node(id).outputs)
      if (v != kNoValue && read[size_t(v)] && !behind[size_t(v)]) ends.push_back(v);
  return ends;
}

/// Null where nothing that reads the network's inputs is frozen.
std::optional<Graph> frozen_part(const Graph& g, std::span<const ValueId> ends) {
  Graph part = part_of(g, {}, ends);
  if (part.inputs().size() != g.inputs().size()) return std::nullopt;
  return part;
}

UserError nothing_frozen(const Graph& g) {
  return unsupported(g.name, "has no layer before the trained ones that could be on integers",
                     "train fewer layers, or leave the others in floats");
}

/// A frozen part in floats, and on integers as far as the error allows.
class Lowering {
 public:
  Lowering(const Graph& part, std::span<const std::vector<Tensor>> batches, DType floats)
      : float_(prepared_for_quantization(part)),
        layers_(quantizable_layers(float_)),
        floats_(floats) {
    if (layers_.empty()) throw nothing_frozen(part);
    if (batches.empty()) throw bad_input(part.name, "is to be calibrated without samples");
    Calibrator calibrator(float_, RangeMethod::kMinMax);
    Batches judged;
    for (size_t i = 0; i < batches.size(); ++i)
      if (i % 2 == 0)
        calibrator.observe(batches[i]);
      else
        judged.push_back(batches[i]);
    ranges_ = calibrator.ranges();
    error_.emplace(float_, judged.empty() ? batches : judged);
  }

  /// Of the part alone.
  FrozenOnIntegers within(double max_error) const {
    std::set<std::string> out;
    Graph lowered = without(out);
    double error = error_->of(lowered);
    if (error > max_error)
      error = leave_integers(
          sensitivity(float_, ranges_, error_->batches()), max_error, *error_,
          [&](const auto& without_these) { return without(without_these); }, out, lowered);
    return {std::move(lowered), int64_t(layers_.size() - out.size()), int64_t(out.size()), error};
  }

 private:
  Graph without(const std::set<std::string>& out) const {
    Graph g = quantize(float_, ranges_, out);
    return floats_ == DType::bf16 ? to_bf16_beside(g, {}) : g;
  }

  Graph float_;
  std::vector<std::string> layers_;
  DType floats_;
  Ranges ranges_;
  std::optional<OutputError> error_;
};

}  // namespace

bool has_frozen_layers(const Graph& network, const std::set<std::string>& trained) {
  const auto part = frozen_part(network, end_of_frozen_part(network, trained));
  return part && !quantizable_layers(prepared_for_quantization(*part)).empty();
}

FrozenOnIntegers frozen_on_integers(const Graph& network, const std::set<std::string>& trained,
                                    std::span<const std::vector<Tensor>> batches, double max_error,
                                    DType floats) {
  Graph g = network.compacted();
  const auto ends = end_of_frozen_part(g, trained);
  const auto part = frozen_part(g, ends);
  if (!part) throw nothing_frozen(g);
  FrozenOnIntegers result = Lowering(*part, batches, floats).within(max_error);
  Builder builder(g);
  const std::vector<ValueId> operands(g.inputs().begin(), g.inputs().end());
  const auto first = ValueId(g.value_count());
  take_places(builder, ends, splice(builder, result.network, operands), first);
  g.sort();
  g.erase_dead();
  result.network = g.compacted();
  return result;
}

}  // namespace espalier
