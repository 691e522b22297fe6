#include "train/parametrization.h"

#include <array>
#include <cmath>
#include <sstream>

#include "base/error.h"
#include "base/suggest.h"
#include "ir/builder.h"
#include "ir/derive.h"
#include "train/selection.h"
#include "train/weight_target.h"

namespace espalier {
namespace {

struct Kind {
  const char* name;
  WidthExponents input, hidden, output;  ///< under steps in proportion to gradients
  /// Of steps whose elements do not follow the gradient's size.
  double entrywise_input, entrywise_hidden, entrywise_output;
  bool attention_by_size;
};

// Table 1 of arXiv:2011.14522, shifted by its symmetry so that the standard one has no multipliers;
// entrywise rates after table 3 of arXiv:2203.03466.
constexpr std::array kKinds = {
    Kind{"standard", {0, 0, 0}, {0, 0.5, 0}, {0, 0.5, 0}, 0, 0, 0, false},
    Kind{"ntk", {0, 0, 0}, {0.5, 0, 0}, {0.5, 0, 0}, 0, 0, 0, false},
    Kind{"mup", {-0.5, 0.5, 0}, {0, 0.5, 0}, {0.5, 0.5, 0}, 0.5, 1, 0.5, true},
};

/// Products of a matrix or a filter, from both sides: which nodes contract it, and whether
/// something else reads it as well.
struct Readers {
  std::vector<Reading> products;
  bool others = false;
};

Readers readers_of(const Graph& typed, ValueId parameter) {
  Readers r;
  for (const Reading& reading : readings_of(typed, parameter)) {
    const bool product = reading.slot < 2 && cost_of(typed, reading.node).macs > 0;
    if (product)
      r.products.push_back(reading);
    else
      r.others = true;
  }
  return r;
}

/// The network for one sample, its types known; values and nodes keep their numbers.
Graph typed(const Graph& g) {
  Shape shape;
  for (const Dim& d : g.value(g.inputs()[0]).tensor().dims)
    shape.push_back(d.known() ? d.value() : 1);
  return typed_for(g, shape);
}

const Value& counterpart(const Graph& network, const Graph& base, const std::string& name) {
  const ValueId other = base.find(name);
  if (other == kNoValue || !base.is_constant(other) ||
      base.value(other).constant->rank() != network.value(network.find(name)).constant->rank())
    throw bad_input(network.name,
                    "has the parameter '" + name + "', its base has none of as many axes",
                    "the base differs in widths alone: as many layers, the same blocks");
  return base.value(other);
}

[[noreturn]] void refuse(const Graph& network, const std::string& name, const std::string& what) {
  throw unsupported(
      network.name, "'" + name + "' " + what,
      "widths may grow on the first two axes of a weight and one of other parameters");
}

WidthScale scale_of(const Graph& network, const Graph& typed, const Graph& base,
                    const std::string& name, const Parametrization& p, bool entrywise) {
  const ValueId v = network.find(name);
  const Shape own = network.value(v).constant->shape();
  const Shape& other = counterpart(network, base, name).constant->shape();
  const auto ratio = [&](size_t axis) { return double(own[axis]) / double(other[axis]); };
  const Readers readers = readers_of(typed, v);
  const bool weight = own.size() >= 2 && !readers.products.empty() && !readers.others;
  std::vector<size_t> grown;
  for (size_t axis = 0; axis < own.size(); ++axis)
    if (own[axis] != other[axis]) grown.push_back(axis);
  WidthScale s;
  if (grown.empty()) return s;
  if (grown.back() > (weight ? 1u : own.size()) || (!weight && grown.size() > 1))
    refuse(network, name, "differs from its base's on too many axes");
  WidthExponents e = p.input;
  s.role = WidthRole::kInput;
  s.width = ratio(grown[0]);
  if (weight && grown.back() == 1) {
    s.role = grown.size() == 2 ? WidthRole::kHidden : WidthRole::kOutput;
    e = grown.size() == 2 ? p.hidden : p.output;
    s.width = ratio(1);
  }
  // w's exponents as those of W: its first values are n^-a w, its steps n^-a times those of w,
  // whose gradient is n^-a times W's.
  s.deviation = std::pow(s.width, -(e.multiplier + e.deviation));
  s.rate = std::pow(s.width, -(e.rate + (entrywise ? 1 : 2) * e.multiplier));
  if (own.size() >= 2 && !readers.products.empty() && readers.others)
    s.multiplier = std::pow(s.width, p.input.multiplier - p.output.multiplier);
  return s;
}

bool is_entrywise(const OptimizerUnit& optimizer) {
  return optimizer.response == OptimizerUnit::Response::kEntrywise;
}

std::string text_of(const WidthExponents& e) {
  std::ostringstream s;
  s << e.multiplier << "/" << e.deviation << "/" << e.rate;
  return s.str();
}

}  // namespace

std::string Parametrization::text() const {
  return kind + ",input=" + text_of(input) + ",hidden=" + text_of(hidden) +
         ",output=" + text_of(output) + ",attention=" + (attention_by_size ? "size" : "root");
}

std::vector<std::string> parametrization_names() {
  std::vector<std::string> names;
  for (const Kind& k : kKinds) names.emplace_back(k.name);
  return names;
}

Parametrization parametrization(const std::string& kind, const OptimizerUnit& optimizer) {
  if (optimizer.response == OptimizerUnit::Response::kUnknown)
    throw unsupported("a parametrisation with the optimizer '" + std::string(optimizer.name) + "'",
                      "it is not known how its rate should follow the width",
                      "use sgd, adamw, lion or signsgd");
  for (const Kind& k : kKinds) {
    if (kind != k.name) continue;
    Parametrization p{kind, k.input, k.hidden, k.output, k.attention_by_size};
    if (!is_entrywise(optimizer)) return p;
    p.input.rate = k.entrywise_input;
    p.hidden.rate = k.entrywise_hidden;
    p.output.rate = k.entrywise_output;
    return p;
  }
  throw usage_error("parametrisation '" + kind + "'", "is not known",
                    suggestion(kind, parametrization_names()));
}

std::map<std::string, WidthScale> width_scales(const Graph& network, const Graph& base,
                                               const Parametrization& p,
                                               const OptimizerUnit& optimizer) {
  if (network.inputs().size() != 1)
    throw unsupported(network.name, "has several inputs; a parametrisation takes networks of one");
  const Graph known = typed(network);
  std::map<std::string, WidthScale> scales;
  for (const std::string& name : parameter_names(network))
    scales[name] = scale_of(network, known, base, name, p, is_entrywise(optimizer));
  for (const std::string& name : parameter_names(base))
    if (!scales.contains(name))
      throw bad_input(network.name, "lacks its base's parameter '" + name + "'",
                      "the base differs in widths alone: as many layers, the same blocks");
  return scales;
}

void scale_first_values(Graph& network, const std::map<std::string, WidthScale>& scales,
                        const std::map<std::string, double>& own,
                        const std::map<std::string, double>& base) {
  for (const auto& [name, s] : scales) {
    if (s.role == WidthRole::kFixed || !own.contains(name) || !(own.at(name) > 0)) continue;
    const double factor = s.deviation * base.at(name) / own.at(name);
    Tensor& t = *network.mutable_value(network.find(name)).constant;
    float* w = t.mutable_data<float>();
    for (int64_t i = 0; i < t.size(); ++i) w[i] = float(factor * w[i]);
  }
}

void scale_products(Graph& network, const Graph& base,
                    const std::map<std::string, WidthScale>& scales, const Parametrization& p) {
  Builder b(network);
  const Graph known = typed(network);
  for (const auto& [name, s] : scales) {
    if (s.multiplier == 1) continue;
    for (const Reading& r : readers_of(known, network.find(name)).products) {
      // The other operand: where the product is narrow, so is what is multiplied.
      const size_t slot = r.slot == 0 ? 1 : 0;
      const ValueId x = network.node(r.node).inputs[slot];
      network.mutable_node(r.node).inputs[slot] = b.mul(x, s.multiplier);
    }
  }
  for (ValueId v : network.constants()) {
    Value& c = network.mutable_value(v);
    const ValueId other = base.find(c.name);
    if (!p.attention_by_size || !c.name.ends_with(".scale") || c.role != Role::kNone ||
        other == kNoValue || !base.is_constant(other) || c.constant->size() != 1)
      continue;
    // 1 / sqrt d becomes sqrt d0 / d, the same at the base's d0.
    const double root = c.constant->at(0);
    c.constant = Tensor::scalar(float(root * root / base.value(other).constant->at(0)));
  }
  network.sort();
}

}  // namespace espalier
