// Adapters of operators that move, cut and reduce: attributes that became operands, and for
// reductions since opset 18 the reverse, because the rooms take axes as an attribute.
#include <algorithm>
#include <array>

#include "onnx/adapt.h"

namespace espalier {
namespace {

using Result = std::optional<Values>;

/// An attribute that became operand `slot`, a list of i64.
void list_to_operand(Call& c, const std::string& attribute, size_t slot) {
  if (const auto list = c.take_ints(attribute)) c.set_input(slot, c.b.ints(*list));
}

Result axes_to_operand(Call& c) {
  list_to_operand(c, "axes", 1);
  return std::nullopt;
}

Result shape_to_operand(Call& c) {
  list_to_operand(c, "shape", 1);
  return std::nullopt;
}

Result ends_to_operands(Call& c) {
  list_to_operand(c, "starts", 1);
  list_to_operand(c, "ends", 2);
  list_to_operand(c, "axes", 3);
  return std::nullopt;
}

// Opset 1 called them `paddings`.
Result pads_to_operands(Call& c) {
  list_to_operand(c, "paddings", 1);
  list_to_operand(c, "pads", 1);
  c.type(0);
  if (const auto value = c.take_float("value")) c.set_input(2, c.b.scalar(*value, c.inputs[0]));
  return std::nullopt;
}

// Since opset 18 pads may be given for some axes only; spelled out for all of them where they are
// known, which older opsets can say too.
Result pads_of_all_axes(Call& c) {
  const Graph& g = c.b.graph();
  if (!c.has(3) || !c.has(1) || !g.is_constant(c.inputs[1]) || !g.is_constant(c.inputs[3]))
    return std::nullopt;
  const int64_t rank = c.type(0).rank();
  const auto some = c.ints(1, "the pads"), axes = c.ints(3, "the axes");
  std::vector<int64_t> all(size_t(2 * rank), 0);
  if (some.size() != 2 * axes.size()) c.malformed("needs two pads for each axis");
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto axis = size_t(normal_axis(axes[i], rank, c.where));
    all[axis] = some[i];
    all[axis + size_t(rank)] = some[i + axes.size()];
  }
  c.inputs[1] = c.b.ints(all);
  c.drop_inputs(3);
  while (!c.inputs.empty() && c.inputs.back() == kNoValue) c.inputs.pop_back();
  return std::nullopt;
}

Result default_axis_one(Call& c) {
  c.attrs.emplace("axis", int64_t{1});
  return std::nullopt;
}

Result k_to_operand(Call& c) {
  if (const auto k = c.take_int("k")) c.set_input(1, c.b.ints({*k}));
  return std::nullopt;
}

// Before opset 13 sizes were an attribute; where there are none, and since opset 18 for a given
// number of parts, they follow from the number of results.
Result split_sizes(Call& c) {
  list_to_operand(c, "split", 1);
  const auto parts = c.take_int("num_outputs");
  if (c.has(1)) return std::nullopt;
  const auto axis_attribute = c.attrs.find("axis");
  const int64_t* given =
      axis_attribute == c.attrs.end() ? nullptr : std::get_if<int64_t>(&axis_attribute->second);
  const TensorType& type = c.type(0);
  const Dim& extent = type.dims[size_t(normal_axis(given ? *given : 0, type.rank(), c.where))];
  if (!extent.known())
    c.refuse("cuts the axis of unknown extent '" + extent.name() + "' into equal parts");
  const int64_t n = parts.value_or(int64_t(c.outputs.size()));
  if (n < 1 || n != int64_t(c.outputs.size()) || (!parts && extent.value() % n != 0))
    c.malformed("cannot cut " + std::to_string(extent.value()) + " into " + std::to_string(n) +
                " equal parts");
  const int64_t chunk = (extent.value() + n - 1) / n;
  std::vector<int64_t> sizes;
  for (int64_t i = 0; i < n; ++i)
    sizes.push_back(std::clamp<int64_t>(extent.value() - i * chunk, 0, chunk));
  c.set_input(1, c.b.ints(sizes));
  return std::nullopt;
}

// Without axes every extent of 1 goes. Named, they still are the right ones when others are cut.
Result name_axes(Call& c) {
  if (c.has(1) || !c.type(0).is_static()) return std::nullopt;
  std::vector<int64_t> axes;
  for (size_t d = 0; d < c.type(0).dims.size(); ++d)
    if (c.type(0).dims[d].is(1)) axes.push_back(int64_t(d));
  c.set_input(1, c.b.ints(axes));
  return std::nullopt;
}

// Before opset 6 the operand was repeated along one axis.
Result tiles_of_one_axis(Call& c) {
  if (c.inputs.size() != 3) c.malformed("needs an operand, a count and an axis");
  const auto tiles = c.ints(1, "the count"), axis = c.ints(2, "the axis");
  if (tiles.size() != 1 || axis.size() != 1) c.malformed("needs one count and one axis");
  std::vector<int64_t> repeats(size_t(c.type(0).rank()), 1);
  repeats[size_t(normal_axis(axis[0], c.type(0).rank(), c.where))] = tiles[0];
  c.inputs[1] = c.b.ints(repeats);
  c.drop_inputs(2);
  return std::nullopt;
}

// Scatter was replaced by ScatterElements in opset 11.
Result scatter_elements(Call& c) {
  c.op = "ScatterElements";
  return std::nullopt;
}

// An empty or missing list of axes means all of them, or none at all if the node says so.
Result axes_to_attribute(Call& c) {
  const bool none_means_none = c.take_int("noop_with_empty_axes").value_or(0) != 0;
  if (c.has(1)) {
    auto axes = c.ints(1, "the list of axes");
    c.drop_inputs(1);
    if (!axes.empty()) c.attrs["axes"] = std::move(axes);
  }
  c.drop_inputs(1);
  if (none_means_none && !c.attrs.contains("axes"))
    return Values{c.b.one("Identity", {c.operand(0)})};
  return std::nullopt;
}

// Since opset 20 the axis of DFT is operand 2, the second to last by default.
Result transformed_axis(Call& c) {
  c.attrs["axis"] = int64_t{-2};
  if (!c.has(2)) return std::nullopt;
  const auto axis = c.ints(2, "the axis");
  if (axis.size() != 1) c.malformed("names " + std::to_string(axis.size()) + " axes");
  c.attrs["axis"] = axis[0];
  c.drop_inputs(2);
  while (!c.inputs.empty() && c.inputs.back() == kNoValue) c.inputs.pop_back();
  return std::nullopt;
}

constexpr std::array kAdapters = {
    Adapter{"Reshape", 1, 5, shape_to_operand},
    Adapter{"Concat", 1, 4, default_axis_one},
    Adapter{"Tile", 1, 6, tiles_of_one_axis},
    Adapter{"Squeeze", 1, 13, axes_to_operand},
    Adapter{"Squeeze", 1, kEveryOpset, name_axes},
    Adapter{"Unsqueeze", 1, 13, axes_to_operand},
    Adapter{"Scatter", 1, kEveryOpset, scatter_elements, "ScatterElements"},
    Adapter{"ReduceSum", 1, 13, axes_to_operand},
    Adapter{"Split", 1, kEveryOpset, split_sizes},
    Adapter{"Slice", 1, 10, ends_to_operands},
    Adapter{"Pad", 1, 11, pads_to_operands},
    Adapter{"Pad", 18, kEveryOpset, pads_of_all_axes},
    Adapter{"TopK", 1, 10, k_to_operand},
    Adapter{"DFT", 20, kEveryOpset, transformed_axis},
    Adapter{"ReduceMean", 18, kEveryOpset, axes_to_attribute},
    Adapter{"ReduceMax", 18, kEveryOpset, axes_to_attribute},
    Adapter{"ReduceMin", 18, kEveryOpset, axes_to_attribute},
    Adapter{"ReduceProd", 18, kEveryOpset, axes_to_attribute},
    Adapter{"ReduceL1", 18, kEveryOpset, axes_to_attribute},
    Adapter{"ReduceL2", 18, kEveryOpset, axes_to_attribute},
    Adapter{"ReduceLogSum", 18, kEveryOpset, axes_to_attribute},
    Adapter{"ReduceLogSumExp", 18, kEveryOpset, axes_to_attribute},
    Adapter{"ReduceSumSquare", 18, kEveryOpset, axes_to_attribute},
};

}  // namespace

std::span<const Adapter> movement_adapters() { return kAdapters; }

}  // namespace espalier
