#include "train/weight_target.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "ir/builder.h"
#include "ir/interpret.h"
#include "ir/reference.h"
#include "ir/room.h"
#include "train/selection.h"

namespace espalier {
namespace {

/// Consecutive numbers are told apart in f32 up to here.
constexpr int64_t kMostElements = 1 << 24;

/// `v`, computed from constants, with `value` in place of the parameter.
Tensor computed(const Graph& g, ValueId v, ValueId parameter, const Tensor& value) {
  if (v == parameter) return value;
  if (g.is_constant(v)) return *g.value(v).constant;
  const NodeId id = g.value(v).producer;
  const Node& n = g.node(id);
  std::vector<Tensor> held;
  std::vector<const Tensor*> operands;
  held.reserve(n.inputs.size());
  for (ValueId in : n.inputs) {
    if (in != kNoValue) held.push_back(computed(g, in, parameter, value));
    operands.push_back(in == kNoValue ? nullptr : &held.back());
  }
  return run_reference(*n.room, n.attrs, operands, describe(g, id))
      .at(size_t(g.value(v).output_index));
}

/// Which element of the parameter each element of `read` is; nothing where it is none.
std::optional<std::vector<int64_t>> elements(const Graph& g, ValueId read, ValueId parameter) {
  const Tensor& own = *g.value(parameter).constant;
  if (own.size() > kMostElements || own.dtype() != DType::f32) return std::nullopt;
  Tensor numbers(DType::f32, own.shape());
  for (int64_t i = 0; i < own.size(); ++i) numbers.mutable_data<float>()[i] = float(i);
  const Tensor moved = computed(g, read, parameter, numbers);
  if (moved.size() != own.size() || moved.dtype() != DType::f32) return std::nullopt;
  std::vector<int64_t> from(static_cast<size_t>(moved.size()));
  std::vector<bool> seen(from.size(), false);
  for (size_t i = 0; i < from.size(); ++i) {
    const double at = moved.at(int64_t(i));
    if (!(at >= 0 && at < double(seen.size())) || at != double(int64_t(at))) return std::nullopt;
    from[i] = int64_t(at);
    seen[size_t(from[i])] = true;
  }
  if (std::ranges::find(seen, false) != seen.end()) return std::nullopt;
  return from;
}

bool whole_axis(const AxisPlace& p, const TensorType& t, int64_t count) {
  return p.inner == 1 && p.outer == 1 && p.offset == 0 && t.dims[size_t(p.axis)].is(count);
}

/// Where a tie touches the weight, the activation and the result; -1 where it does not.
struct Touched {
  int weight = -1, x = -1, y = -1;
};

Touched touched(const AxisTie& tie, const WeightTarget& t, const TypesIn& in, const Types& out) {
  Touched at;
  for (const AxisPlace& p : tie.places) {
    if (p.output && p.slot == 0 && whole_axis(p, out[0].tensor(), tie.count)) at.y = p.axis;
    if (p.output) continue;
    if (!whole_axis(p, in[size_t(p.slot)], tie.count)) continue;
    if (size_t(p.slot) == t.w_slot) at.weight = p.axis;
    if (size_t(p.slot) == t.x_slot) at.x = p.axis;
  }
  return at;
}

/// Completes a target whose node and slots are known.
bool read_axes(const Graph& g, WeightTarget& t) {
  const Node& n = g.node(t.node);
  if (!n.room->axes.answered() || n.outputs.size() != 1) return false;
  const TypesIn in = types_in(g, t.node);
  const Types out = types_out(g, t.node);
  if (!in[t.w_slot].is_static() || !out[0].tensor().is_static()) return false;
  t.shape = in[t.w_slot].shape();
  t.out_axis = t.in_axis = -1;
  for (const AxisTie& tie : (*n.room->axes)(n.attrs, in, out).ties) {
    const Touched at = touched(tie, t, in, out);
    if (at.weight < 0) continue;
    if (at.x >= 0 && at.y < 0) {
      t.in_axis = at.weight;
      t.x_axis = at.x;
    } else if (at.y >= 0 && at.x < 0) {
      t.out_axis = at.weight;
      t.y_axis = at.y;
    }
  }
  if (t.in_axis < 0 || t.out_axis < 0) return false;
  for (int axis = 0; axis < int(t.shape.size()); ++axis)
    if (axis != t.in_axis && axis != t.out_axis) t.window.push_back(axis);
  const auto last = [](int axis, const TensorType& type) { return axis == type.rank() - 1; };
  const bool matrix = t.window.empty() && last(t.x_axis, in[t.x_slot]) &&
                      last(t.y_axis, out[0].tensor()) && out[0].tensor().rank() >= 2;
  const bool window = !t.window.empty() && t.x_axis == 1 && t.y_axis == 1 &&
                      in[t.x_slot].rank() == int64_t(t.window.size()) + 2;
  return matrix || window;
}

}  // namespace

Shape WeightTarget::with(int axis, int64_t extent) const {
  Shape s = shape;
  s[size_t(axis)] = extent;
  return s;
}

Graph typed_for(const Graph& network, const Shape& input) {
  Graph g = network;
  if (g.inputs().size() != 1) throw unsupported(g.name, "has several inputs; adapters take one");
  Value& in = g.mutable_value(g.inputs()[0]);
  in.type = TensorType(in.tensor().dtype, input);
  reinfer(g, /*fold=*/true);
  return g;
}

std::vector<WeightTarget> weight_targets(const Graph& g) {
  std::vector<std::pair<size_t, WeightTarget>> found;
  for (ValueId v : g.constants()) {
    const Value& value = g.value(v);
    if (value.role != Role::kParameter || value.constant->rank() < 2) continue;
    const std::vector<Reading> readings = readings_of(g, v);
    if (readings.size() != 1) continue;
    WeightTarget t;
    t.parameter = value.name;
    t.node = readings[0].node;
    t.w_slot = readings[0].slot;
    t.x_slot = t.w_slot == 0 ? 1 : 0;
    t.read = readings[0].read;
    const Node& n = g.node(t.node);
    if (n.inputs.size() <= t.x_slot || n.inputs[t.x_slot] == kNoValue ||
        g.is_constant(n.inputs[t.x_slot]) || !read_axes(g, t))
      continue;
    if (t.read != v) {
      auto from = elements(g, t.read, v);
      if (!from) continue;
      t.element = std::move(*from);
    }
    const auto place = std::ranges::find(g.order(), t.node) - g.order().begin();
    found.emplace_back(size_t(place), std::move(t));
  }
  std::ranges::stable_sort(found, {}, &std::pair<size_t, WeightTarget>::first);
  std::vector<WeightTarget> targets;
  for (auto& [place, t] : found) targets.push_back(std::move(t));
  return targets;
}

Tensor in_parameter_order(const WeightTarget& target, const Tensor& delta, const Shape& parameter) {
  ESP_CHECK(delta.size() == numel(parameter), "a change has as many elements as its weight");
  Tensor out(DType::f32, parameter);
  for (int64_t i = 0; i < delta.size(); ++i)
    out.mutable_data<float>()[target.element.empty() ? i : target.element[size_t(i)]] =
        float(delta.at(i));
  return out;
}

}  // namespace espalier
