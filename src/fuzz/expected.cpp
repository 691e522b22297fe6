#include "fuzz/expected.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>

#include "base/error.h"
#include "base/rng.h"
#include "ir/builder.h"
#include "ir/derive.h"
#include "ir/interpret.h"
#include "ir/reference.h"
#include "ir/room.h"

namespace espalier::fuzz {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// What was seen of movements, times this, is allowed.
constexpr double kMargin = 8;
constexpr int kPairs = 3;
constexpr int64_t kMostElements = 1 << 14;
constexpr double kMostOperations = 4e6;
constexpr double kLargest = 1e4;

double rounding_of(DType t) {
  switch (t) {
    case DType::f64: return 0x1p-52;
    case DType::f32: return 0x1p-23;
    case DType::f16: return 0x1p-10;
    case DType::bf16: return 0x1p-7;
    default: return 0;
  }
}

/// Roundings that one result is moved by at most: kernels of narrow types compute in f32 and round
/// once, those of wide ones approximate functions to a few roundings, more where many operations
/// follow each other.
double roundings_of(DType t, double operations) {
  return t == DType::bf16 || t == DType::f16 ? 1 : 4 + 2 * std::log2(std::max(1.0, operations));
}

/// Below this, results are as good as zero: kernels may flush what is subnormal.
double least_of(DType t) {
  switch (t) {
    case DType::f64: return 1e-300;
    case DType::f16: return 2e-7;
    default: return 1e-36;
  }
}

/// Called with each node's results, which it may change.
using Visit = std::function<void(NodeId, std::span<const Datum* const>, std::vector<Datum>&)>;

std::vector<Datum> run(const Graph& g, std::span<const Tensor> inputs, const Visit& visit) {
  std::vector<Datum> values(g.value_count());
  ESP_CHECK(inputs.size() == g.inputs().size(), "one tensor for each input");
  for (size_t i = 0; i < inputs.size(); ++i) values[size_t(g.inputs()[i])] = inputs[i];
  for (ValueId v : g.constants()) values[size_t(v)] = *g.value(v).constant;
  for (NodeId id : g.order()) {
    const Node& n = g.node(id);
    std::vector<const Datum*> operands;
    for (ValueId v : n.inputs) operands.push_back(v == kNoValue ? nullptr : &values[size_t(v)]);
    std::vector<Datum> results = run_reference(*n.room, n.attrs, operands, describe(g, id));
    visit(id, operands, results);
    for (size_t i = 0; i < n.outputs.size(); ++i)
      if (n.outputs[i] != kNoValue) values[size_t(n.outputs[i])] = std::move(results.at(i));
  }
  std::vector<Datum> outputs;
  for (ValueId v : g.outputs()) outputs.push_back(values[size_t(v)]);
  return outputs;
}

/// Functions whose results are operands or small integers.
bool is_exact(ScalarCode c) {
  switch (c) {
    case ScalarCode::kIdentity:
    case ScalarCode::kNeg:
    case ScalarCode::kAbs:
    case ScalarCode::kRelu:
    case ScalarCode::kClip:
    case ScalarCode::kFloor:
    case ScalarCode::kCeil:
    case ScalarCode::kRound:
    case ScalarCode::kSign:
    case ScalarCode::kMin:
    case ScalarCode::kMax:
    case ScalarCode::kEqual:
    case ScalarCode::kLess:
    case ScalarCode::kLessEqual:
    case ScalarCode::kGreater:
    case ScalarCode::kGreaterEqual:
    case ScalarCode::kWhere: return true;
    default: return false;
  }
}

struct Rounds {
  enum Kind : uint8_t {
    kNever,      ///< moves elements
    kEach,       ///< a function of each element
    kSumsTerms,  ///< an element comes from many
  } kind = kNever;
  double operations = 1;  ///< for each element of the first result, about
};

/// What a node whose sizes are open is taken to need for an element.
constexpr double kOpenOperations = 64;

bool has_fixed_sizes(const Graph& g, const Node& n) {
  const auto fixed = [&](ValueId v) { return v == kNoValue || g.value(v).type.is_static(); };
  return std::ranges::all_of(n.inputs, fixed) && std::ranges::all_of(n.outputs, fixed);
}

Rounds rounds_of(const Graph& g, NodeId id) {
  const Node& n = g.node(id);
  try {
    if (n.room->pointwise.answered())
      if (const auto f = (*n.room->pointwise)(n.attrs, types_in(g, id)))
        return {is_exact(f->code) ? Rounds::kNever : Rounds::kEach, 1};
    // Open sizes count as nothing.
    if (!has_fixed_sizes(g, n)) return {Rounds::kSumsTerms, kOpenOperations};
    const Cost cost = cost_of(g, id);
    if (cost.macs == 0 && cost.flops == 0) return {Rounds::kNever, 1};
    const Type& first = g.value(n.outputs.at(0)).type;
    const int64_t elements = first.is_static() ? first.tensor().numel() : 0;
    return {Rounds::kSumsTerms, cost.flops / double(std::max<int64_t>(1, elements))};
  } catch (const std::exception&) {
    return {Rounds::kSumsTerms, kOpenOperations};  // nothing is lost but strictness
  }
}

/// The node's first results for operands without signs: of what is summed, the sum of magnitudes.
std::vector<Datum> magnitudes(const Node& n, std::span<const Datum* const> operands) {
  std::vector<Datum> held;
  held.reserve(operands.size());
  std::vector<const Datum*> without_signs;
  for (const Datum* d : operands) {
    if (!d || !d->is_tensor() || !is_float(d->tensor().dtype())) {
      without_signs.push_back(d);
      continue;
    }
    Tensor wide = d->tensor().cast(DType::f64).clone();
    double* p = wide.mutable_data<double>();
    for (int64_t i = 0; i < wide.size(); ++i) p[i] = std::abs(p[i]);
    held.emplace_back(wide.cast(d->tensor().dtype()));
    without_signs.push_back(&held.back());
  }
  try {
    return run_reference(*n.room, n.attrs, without_signs);
  } catch (const std::exception&) {
    return {};
  }
}

/// The tensor with each element moved by a few roundings, in the direction `sign` gives.
Tensor moved(const Tensor& t, const Tensor* magnitude, double operations, double sign,
             const Rng& rng) {
  const double step = roundings_of(t.dtype(), operations) * rounding_of(t.dtype());
  Tensor wide = t.cast(DType::f64).clone();
  double* p = wide.mutable_data<double>();
  double largest = 0;
  for (int64_t i = 0; i < t.size(); ++i)
    if (std::isfinite(p[i])) largest = std::max(largest, std::abs(p[i]));
  // Kernels of functions are exact to so much of the largest result, up to 1.
  const double common = std::min(1.0, largest);
  const bool sized = magnitude && magnitude->shape() == t.shape() && is_float(magnitude->dtype());
  for (int64_t i = 0; i < t.size(); ++i) {
    double size = std::max(std::abs(p[i]), common);
    if (sized && std::isfinite(magnitude->at(i))) size = std::max(size, magnitude->at(i));
    if (p[i] == 0 && (!sized || magnitude->at(i) == 0)) continue;  // a zero of nothing but zeros
    p[i] += sign * step * size * rng.uniform(uint64_t(i), -1, 1);
  }
  return wide.cast(t.dtype());
}

std::vector<Tensor> tensors_of(const std::vector<Datum>& data, const Graph& g) {
  return to_tensors(data, g.name);
}

std::vector<Tensor> undisturbed(const Graph& g, std::span<const Tensor> inputs) {
  return tensors_of(run(g, inputs, [](NodeId, auto, auto&) {}), g);
}

std::vector<Tensor> disturbed_run(const Graph& g, std::span<const Tensor> inputs,
                                  const std::vector<Rounds>& rounds, double sign, const Rng& rng) {
  const auto disturb = [&](NodeId id, std::span<const Datum* const> operands,
                           std::vector<Datum>& results) {
    const Rounds& how = rounds[size_t(id)];
    if (how.kind == Rounds::kNever) return;
    std::vector<Datum> sizes;
    if (how.kind == Rounds::kSumsTerms) sizes = magnitudes(g.node(id), operands);
    for (size_t i = 0; i < results.size(); ++i) {
      if (!results[i].is_tensor() || !is_float(results[i].tensor().dtype())) continue;
      const Tensor* size = i < sizes.size() && sizes[i].is_tensor() ? &sizes[i].tensor() : nullptr;
      results[i] =
          moved(results[i].tensor(), size, how.operations, sign, rng.fork(uint64_t(id)).fork(i));
    }
  };
  return tensors_of(run(g, inputs, disturb), g);
}

bool same_class(double a, double b) {
  return std::isnan(a) == std::isnan(b) && std::isinf(a) == std::isinf(b) &&
         (!std::isinf(a) || (a > 0) == (b > 0));
}

/// Raises what each element was seen to move by.
void add_movement(const Tensor& want, const Tensor& got, std::vector<double>& movement) {
  if (want.dtype() != got.dtype() || want.shape() != got.shape()) {
    std::ranges::fill(movement, kInfinity);
    return;
  }
  for (int64_t i = 0; i < want.size(); ++i) {
    const double x = want.at(i), y = got.at(i);
    double& m = movement[size_t(i)];
    if (!same_class(x, y))
      m = kInfinity;
    else if (std::isfinite(x))
      m = std::max(m, std::abs(x - y));
  }
}

double median_of(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + int64_t(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

std::vector<double> allowed_of(const Tensor& want, const std::vector<double>& movement) {
  std::vector<double> allowed;
  if (!is_float(want.dtype())) {  // where an integer was seen to turn, it says nothing
    for (double m : movement) allowed.push_back(m > 0 ? kInfinity : 0);
    return allowed;
  }
  std::vector<double> sizes, relative;
  double largest = 0;
  for (int64_t i = 0; i < want.size(); ++i) {
    sizes.push_back(std::isfinite(want.at(i)) ? std::abs(want.at(i)) : 0);
    largest = std::max(largest, sizes.back());
  }
  // An element that by chance was moved little is taken to move as the others do.
  const double common = std::min(1.0, largest) + least_of(want.dtype());
  for (size_t i = 0; i < sizes.size(); ++i) relative.push_back(movement[i] / (sizes[i] + common));
  const double median = median_of(relative), typical = std::isfinite(median) ? median : 0;
  for (size_t i = 0; i < sizes.size(); ++i)
    allowed.push_back(kMargin * std::max(movement[i], typical * (sizes[i] + common)) +
                      2 * rounding_of(want.dtype()) * sizes[i] + least_of(want.dtype()));
  return allowed;
}

/// Kernels may compute a node by the steps it expands into, each of which rounds: the graph of
/// these steps. Nodes that are not expanded stay whole.
Graph by_steps(Graph steps) {
  constexpr int kLevels = 3;
  for (int level = 0; level < kLevels; ++level) {
    const std::vector<NodeId> nodes(steps.order().begin(), steps.order().end());
    for (NodeId id : nodes) {
      if (!steps.node(id).room->expand.answered()) continue;
      Graph next = steps;
      try {
        expand_in_place(next, id);
        steps = std::move(next);
      } catch (const UserError&) {
      }
    }
  }
  return steps.compacted();
}

/// Raises what each output was seen to move by from `outputs`, which are the graph's.
void measure(const Graph& g, std::span<const Tensor> inputs, const std::vector<Tensor>& outputs,
             std::vector<std::vector<double>>& movement) {
  std::vector<Rounds> rounds(g.node_count());
  for (NodeId id : g.order()) rounds[size_t(id)] = rounds_of(g, id);
  for (int k = 0; k < 2 * kPairs; ++k) {
    const Rng rng(uint64_t(k / 2), stream_of("roundings"));
    try {
      const auto moved = disturbed_run(g, inputs, rounds, k % 2 ? -1 : 1, rng);
      for (size_t i = 0; i < moved.size(); ++i) add_movement(outputs[i], moved[i], movement[i]);
    } catch (const UserError&) {  // roundings decide whether an operand is accepted at all
      for (auto& m : movement) std::ranges::fill(m, kInfinity);
    }
  }
}

}  // namespace

Expected expected(const Graph& g, std::span<const Tensor> inputs) {
  Expected e;
  e.outputs = undisturbed(g, inputs);
  std::vector<std::vector<double>> movement;
  for (const Tensor& t : e.outputs) movement.emplace_back(size_t(t.size()), 0.0);
  measure(g, inputs, e.outputs, movement);
  const auto expandable = [&](NodeId id) { return g.node(id).room->expand.answered(); };
  if (std::ranges::any_of(g.order(), expandable)) {
    std::vector<Shape> shapes;
    for (const Tensor& t : inputs) shapes.push_back(t.shape());
    const Graph steps = by_steps(specialised(g, shapes));
    // Against themselves: an expansion that is wrong must not widen what is allowed.
    const std::vector<Tensor> own = undisturbed(steps, inputs);
    const auto of_one_shape = [](const Tensor& a, const Tensor& b) {
      return a.shape() == b.shape();
    };
    if (std::ranges::equal(own, e.outputs, of_one_shape)) measure(steps, inputs, own, movement);
  }
  for (size_t i = 0; i < movement.size(); ++i)
    e.allowed.push_back(allowed_of(e.outputs[i], movement[i]));
  return e;
}

std::optional<std::string> difference(const Expected& want, std::span<const Tensor> got) {
  if (got.size() != want.outputs.size())
    return std::to_string(got.size()) + " outputs where the reference gives " +
           std::to_string(want.outputs.size());
  for (size_t o = 0; o < got.size(); ++o) {
    const Tensor &w = want.outputs[o], &t = got[o];
    const auto& allowed = want.allowed[o];
    const bool open =
        !allowed.empty() && std::ranges::all_of(allowed, [](double a) { return std::isinf(a); });
    if (t.dtype() != w.dtype() || (t.shape() != w.shape() && !open))
      return "output " + std::to_string(o) + " is " + to_string(TensorType(t.dtype(), t.shape())) +
             ", the reference gives " + to_string(TensorType(w.dtype(), w.shape()));
    if (open) continue;
    for (int64_t i = 0; i < w.size(); ++i) {
      const double x = t.at(i), y = w.at(i), most = allowed[size_t(i)];
      if (std::isinf(most) || x == y || (std::isnan(x) && std::isnan(y))) continue;
      if (same_class(x, y) && std::abs(x - y) <= most) continue;
      char text[160];
      std::snprintf(text, sizeof text,
                    "output %zu, element %lld is %.9g, the reference gives %.9g (%.3g is allowed)",
                    o, static_cast<long long>(i), x, y, most);
      return text;
    }
  }
  return std::nullopt;
}

namespace {

/// The first node that is too much for an oracle, before anything runs.
std::optional<std::string> too_large(const Graph& g) {
  for (NodeId id : g.order()) {
    bool fixed = true;
    for (ValueId v : g.node(id).outputs) {
      if (v == kNoValue) continue;
      const Type& t = g.value(v).type;
      fixed = fixed && t.is_static();
      if (t.is_static() && t.tensor().numel() > kMostElements)
        return describe(g, id) + " gives too many elements";
    }
    for (ValueId v : g.node(id).inputs)
      fixed = fixed && (v == kNoValue || g.value(v).type.is_static());
    if (fixed && g.node(id).room->cost.answered() && cost_of(g, id).flops > kMostOperations)
      return describe(g, id) + " takes too many operations";
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> unfit(const Graph& g, std::span<const Tensor> inputs) {
  std::optional<std::string> why;
  const auto look = [&](NodeId id, std::span<const Datum* const>,
                        const std::vector<Datum>& results) {
    for (const Datum& d : results) {
      if (why || !d.is_tensor()) continue;
      const Tensor& t = d.tensor();
      if (t.size() > kMostElements) why = describe(g, id) + " gives too many elements";
      if (!is_float(t.dtype())) continue;
      for (int64_t i = 0; i < t.size() && !why; ++i)
        if (!(std::abs(t.at(i)) <= kLargest)) why = describe(g, id) + " gives numbers out of reach";
    }
    if (why) throw unsupported(describe(g, id), *why);
  };
  try {
    if ((why = too_large(g))) return why;
    run(g, inputs, look);
  } catch (const UserError& e) {
    if (!why) why = e.what();
  } catch (const std::exception& e) {
    why = std::string("failed: ") + e.what();
  }
  return why;
}

}  // namespace espalier::fuzz
