#include "compress/coalesce.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/rng.h"
#include "base/suggest.h"
#include "compress/repeated_blocks.h"
#include "compress/restrict.h"
#include "ir/builder.h"
#include "ir/interpret.h"
#include "ir/verify.h"
#include "runtime/session.h"
#include "train/step.h"

namespace espalier {
namespace {

/// The network without all blocks of each set but the first. `names` gets the constants that become
/// one.
Graph shortened(const Graph& network, int64_t by,
                std::map<std::string, std::vector<std::string>>& names) {
  const Graph g = network.compacted();
  const std::vector<BlockRun> runs = repeated_blocks(g);
  if (runs.empty())
    throw bad_input(network.name, "repeats no blocks that could be merged",
                    "depth: 1 merges widths alone");
  std::vector<RepeatedBlock> others;
  for (const BlockRun& run : runs)
    for (size_t first = 0; first < run.size(); first += size_t(by)) {
      const size_t end = std::min(first + size_t(by), run.size());
      for (size_t c = 0; c < run[first].constants.size(); ++c)
        for (size_t i = first + 1; i < end; ++i) {
          const ValueId kept = run[first].constants[c], other = run[i].constants[c];
          if (kept != other) names[g.value(kept).name].push_back(g.value(other).name);
        }
      others.insert(others.end(), run.begin() + int64_t(first) + 1, run.begin() + int64_t(end));
    }
  return without_blocks(g, others);
}

/// Multiplies a result for all that read it.
void multiply(Graph& g, const std::string& name, double factor) {
  const ValueId v = g.find(name);
  if (v == kNoValue)
    throw unsupported("value '" + name + "'",
                      "is made within an operator, where it cannot be multiplied");
  const bool result = std::ranges::count(g.outputs(), v) > 0;
  const ValueId scaled = Builder(g).mul(v, factor);
  const NodeId by = g.value(scaled).producer;
  g.replace_uses(v, scaled);
  for (ValueId& operand : g.mutable_node(by).inputs)
    if (operand == scaled) operand = v;
  g.sort();
  if (!result) return;
  g.rename(v, g.fresh_name(name + "_sum"));
  g.rename(scaled, name);
}

std::vector<Tensor> drawn_inputs(const Graph& g) {
  std::vector<Tensor> inputs;
  for (ValueId v : g.inputs()) {
    const TensorType& type = g.value(v).tensor();
    Shape shape;
    for (const Dim& d : type.dims) shape.push_back(d.known() ? d.value() : 2);
    Tensor t(DType::f32, shape);
    const Rng rng(1, stream_of(g.value(v).name));
    for (int64_t i = 0; i < t.size(); ++i)
      t.mutable_data<float>()[i] =
          is_float(type.dtype) ? float(rng.normal(uint64_t(i))) : float(rng.below(uint64_t(i), 2));
    inputs.push_back(t.cast(type.dtype));
  }
  return inputs;
}

/// Largest difference of results, as a part of the largest result.
double difference(const Graph& a, const Graph& b) {
  const std::vector<Tensor> inputs = drawn_inputs(a);
  const std::vector<Tensor> x = Model(a).run(inputs), y = Model(b).run(inputs);
  double difference = 0, largest = 0;
  for (size_t k = 0; k < x.size(); ++k)
    for (int64_t i = 0; i < x[k].size(); ++i) {
      if (!std::isfinite(x[k].at(i)) && x[k].at(i) == y[k].at(i)) continue;
      difference = std::max(difference, std::abs(x[k].at(i) - y[k].at(i)));
      largest = std::max(largest, std::abs(x[k].at(i)));
    }
  return largest == 0 ? difference : difference / largest;
}

/// Which classes are merged.
std::vector<bool> chosen(const AxisClasses& classes, const CoalesceOptions& o) {
  std::vector<std::string> names;
  for (const AxisClass& c : classes.classes) names.push_back(c.name);
  for (const std::string& pattern : o.whole)
    if (std::ranges::none_of(names, [&](const auto& n) { return matches_pattern(pattern, n); }))
      throw bad_input("'" + pattern + "'", "is the name of no axis class",
                      suggestion(pattern, names));
  std::vector<bool> merge;
  for (const AxisClass& c : classes.classes)
    merge.push_back(
        c.groups.size() % size_t(o.width) == 0 &&
        std::ranges::none_of(o.whole, [&](const auto& w) { return matches_pattern(w, c.name); }));
  if (std::ranges::count(merge, true) == 0)
    throw bad_input(classes.graph.name,
                    "has no widths that are multiples of " + std::to_string(o.width),
                    "width: 1 merges blocks alone");
  return merge;
}

/// The merged classes that something reads as a whole, for a message.
std::string read_whole(const AxisClasses& classes, const std::vector<bool>& merge) {
  std::string text;
  for (size_t c = 0; c < merge.size(); ++c)
    if (const AxisClass& a = classes.classes[c]; merge[c] && a.reads_whole)
      text += (text.empty() ? ": " : ", ") + a.name + " by " + a.whole_reader;
  return text;
}

}  // namespace

Coarsening::Coarsening(const Graph& network, const CoalesceOptions& o) {
  ESP_CHECK(o.width >= 1 && o.depth >= 1, "nothing can be merged by less than 1");
  std::map<std::string, std::vector<std::string>> others;
  const Graph shallow = o.depth > 1 ? shortened(network, o.depth, others) : network.compacted();
  for (ValueId v : shallow.constants()) {
    const std::string& name = shallow.value(v).name;
    std::vector<std::string>& names = of_depth_[name];
    names = {name};
    names.insert(names.end(), others[name].begin(), others[name].end());
  }
  if (o.width == 1) {
    small_ = with_values(shallow, coalesced(constant_values(network)));
    return;
  }
  const AxisClasses classes = axis_classes(shallow);
  const std::vector<bool> merge = chosen(classes, o);
  for (size_t c = 0; c < merge.size(); ++c)
    (merge[c] ? merged_ : whole_).push_back(classes.classes[c].name);
  const MergedWidths widths = merged_widths(classes, merge, o.width);
  of_width_ = widths.constants;
  small_ = restrict(shallow, classes, widths.keep);
  for (const auto& [name, factor] : widths.factors) multiply(small_, name, factor);
  small_ = small_.compacted();
  verify(small_, "coalescing");
  small_ = with_values(small_, coalesced(constant_values(network)));
  Tensors wide;
  for (const auto& [name, t] : constant_values(small_))
    if (of_depth_.contains(name)) wide[name] = widened(name, t, 0);
  const double apart = difference(small_, with_values(shallow, wide));
  if (!(apart < 1e-3))
    throw unsupported(network.name,
                      "computes something else with its widths divided by " +
                          std::to_string(o.width) + ": results differ by " + std::to_string(apart),
                      "leave classes whole that are read as a whole" + read_whole(classes, merge));
}

Tensor Coarsening::widened(const std::string& name, const Tensor& small, int degree) const {
  const auto axes = of_width_.find(name);
  if (axes == of_width_.end()) return small;
  Tensor t = small;
  for (const MergedAxis& m : axes->second) t = spread(t, m, degree);
  return t.cast(small.dtype());
}

Coarsening::Tensors Coarsening::coalesced(const Tensors& large, int degree) const {
  Tensors small;
  for (const auto& [name, names] : of_depth_) {
    if (!std::ranges::all_of(names, [&](const auto& n) { return large.contains(n); })) continue;
    Tensor t = large.at(name);
    if (names.size() > 1) {
      // Of values the mean; a gradient is the sum of those of all copies.
      const auto factor = float(std::pow(double(names.size()), degree - 1));
      t = Tensor(DType::f32, t.shape());
      for (const std::string& n : names) {
        const Tensor part = large.at(n).cast(DType::f32);
        for (int64_t i = 0; i < t.size(); ++i)
          t.mutable_data<float>()[i] += factor * part.data<float>()[i];
      }
    }
    if (const auto axes = of_width_.find(name); axes != of_width_.end())
      for (const MergedAxis& m : axes->second) t = merged(t, m, degree);
    small[name] = t.cast(large.at(name).dtype());
  }
  return small;
}

Coarsening::Tensors Coarsening::decoalesced(const Tensors& small, int degree) const {
  Tensors large;
  for (const auto& [name, tensor] : small) {
    const auto names = of_depth_.find(name);
    if (names == of_depth_.end()) continue;
    Tensor t = widened(name, tensor, degree);
    if (const auto copies = double(names->second.size()); copies > 1 && degree > 0) {
      Tensor part(DType::f32, t.shape());
      for (int64_t i = 0; i < t.size(); ++i)
        part.mutable_data<float>()[i] = float(t.at(i) * std::pow(copies, -degree));
      t = part.cast(tensor.dtype());
    }
    for (const std::string& n : names->second) large[n] = t;
  }
  return large;
}

Coarsening::Tensors constant_values(const Graph& network) {
  Coarsening::Tensors values;
  for (ValueId v : network.constants())
    if (is_float(network.value(v).constant->dtype()))
      values[network.value(v).name] = *network.value(v).constant;
  return values;
}

Coarsening::Tensors interpolated(const Coarsening::Tensors& a, const Coarsening::Tensors& b,
                                 double alpha) {
  Coarsening::Tensors between = a;
  for (auto& [name, t] : between) {
    const auto other = b.find(name);
    if (other == b.end()) continue;
    ESP_CHECK(t.shape() == other->second.shape(), "'" + name + "' has two shapes");
    const Tensor x = t.cast(DType::f32), y = other->second.cast(DType::f32);
    Tensor mixed(DType::f32, t.shape());
    for (int64_t i = 0; i < t.size(); ++i)
      mixed.mutable_data<float>()[i] =
          float((1 - alpha) * double(x.data<float>()[i]) + alpha * double(y.data<float>()[i]));
    t = mixed.cast(t.dtype());
  }
  return between;
}

}  // namespace espalier
