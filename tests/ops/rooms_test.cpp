// Generated tests: what every room promises, from its samples.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "ir/derive.h"
#include "ir/interpret.h"
#include "ir/registry.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "ops/catalogue.h"
#include "ops/common.h"
#include "ops/shape/move.h"
#include "tests/support/samples.h"

namespace espalier {
namespace {

using testing::SampleCase;

bool computes(const SampleCase& c) { return !c.room->reference.refused(); }
bool expands(const SampleCase& c) {
  return c.room->expand.answered() && c.room->reference.answered();
}
// Constant operands are settings: they stay what they are.
bool varies(const SampleCase& c, size_t operand) {
  const OperandSpec& spec = c.sample().inputs[operand];
  return !spec.absent && !spec.constant && is_float(spec.dtype);
}
// Derived gradients are checked through differentiate.
bool differentiates(const SampleCase& c) {
  bool any = false;
  for (size_t i = 0; i < c.sample().inputs.size(); ++i) any = any || varies(c, i);
  return any && computes(c) && c.room->gradient.answered();
}
bool has_axes(const SampleCase& c) {
  return computes(c) && c.room->axes.answered() && testing::has_fixed_sizes(c) &&
         std::none_of(c.sample().inputs.begin(), c.sample().inputs.end(),
                      [](const OperandSpec& s) { return s.dtype == DType::string; });
}
bool is_pointwise(const SampleCase& c) { return c.room->pointwise.answered(); }

// One suite of tests for each question about a room, over the samples to which it applies.
using Case = ::testing::TestWithParam<SampleCase>;
class Rooms : public Case {};
class Computing : public Case {};
class Expanding : public Case {};
class Differentiating : public Case {};
class WithAxes : public Case {};
class Pointwise : public Case {};

std::string name_of_case(const ::testing::TestParamInfo<SampleCase>& info) {
  return info.param.name();
}
auto cases_where(bool (*applies)(const SampleCase&)) {
  return ::testing::ValuesIn(testing::sample_cases_where(applies));
}
INSTANTIATE_TEST_SUITE_P(All, Rooms, ::testing::ValuesIn(testing::all_sample_cases()),
                         name_of_case);
INSTANTIATE_TEST_SUITE_P(All, Computing, cases_where(computes), name_of_case);
INSTANTIATE_TEST_SUITE_P(All, Expanding, cases_where(expands), name_of_case);
INSTANTIATE_TEST_SUITE_P(All, Differentiating, cases_where(differentiates), name_of_case);
INSTANTIATE_TEST_SUITE_P(All, WithAxes, cases_where(has_axes), name_of_case);
INSTANTIATE_TEST_SUITE_P(All, Pointwise, cases_where(is_pointwise), name_of_case);

TEST(Catalogue, EveryRoomHasSamples) {
  for (const Room* room : all_rooms()) EXPECT_FALSE(room->samples.empty()) << room->full_name();
}

TEST_P(Rooms, InferenceVerifiesAndTextRoundTrips) {
  const auto operands = testing::sample_operands(GetParam());
  const Graph g = testing::sample_graph(GetParam(), operands, nullptr);
  EXPECT_EQ(violation(g), "");
  const std::string text = print(g);
  EXPECT_EQ(print(parse_graph(text)), text);
}

TEST_P(Rooms, CostIsAnsweredAndFinite) {
  const SampleCase& c = GetParam();
  if (!c.room->cost.answered()) {
    EXPECT_TRUE(c.room->cost.derived()) << "cost must be known";
    return;
  }
  const Graph g = testing::sample_graph(c, testing::sample_operands(c), nullptr);
  const NodeId id = g.order().back();
  const Cost cost = (*c.room->cost)(g.node(id).attrs, types_in(g, id), types_out(g, id));
  EXPECT_TRUE(std::isfinite(cost.macs) && cost.macs >= 0);
  EXPECT_TRUE(std::isfinite(cost.flops) && cost.flops >= 2 * cost.macs);
  EXPECT_TRUE(std::isfinite(cost.bytes) && cost.bytes >= 0);
}

TEST_P(Computing, ReferenceAgreesWithItsDoubleForm) {
  const SampleCase& c = GetParam();
  const auto narrow = testing::sample_operands(c);
  auto wide = narrow;
  for (auto& t : wide)
    if (is_float(t.dtype())) t = t.cast(DType::f64);
  std::vector<Tensor> in32, in64;
  const Graph g32 = testing::sample_graph(c, narrow, &in32);
  const Graph g64 = testing::sample_graph(c, wide, &in64);
  const auto y32 = testing::flattened(interpret_data(g32, to_data(in32)));
  const auto y64 = testing::flattened(interpret_data(g64, to_data(in64)));
  ASSERT_EQ(y32.size(), y64.size());
  for (size_t i = 0; i < y32.size(); ++i) {
    const Tensor want = is_float(y32[i].dtype()) ? y64[i].cast(y32[i].dtype()) : y64[i];
    EXPECT_LE(testing::mismatch(y32[i], want, 1e-4, 1e-5), 1) << "result " << i;
  }
}

TEST_P(Expanding, AgreesWithReference) {
  const SampleCase& c = GetParam();
  std::vector<Tensor> feed;
  const Graph g = testing::sample_graph(c, testing::sample_operands(c, DType::f64), &feed);
  Graph expanded = g;
  expand_in_place(expanded, expanded.order().back());
  const auto want = testing::flattened(interpret_data(g, to_data(feed)));
  const auto got = testing::flattened(interpret_data(expanded, to_data(feed)));
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i)
    EXPECT_LE(testing::mismatch(got[i], want[i], 1e-10, 1e-10), 1) << "result " << i;
}

// d sum(r * y) / dx against central differences, in double.
TEST_P(Differentiating, MatchesCentralDifferences) {
  const SampleCase& c = GetParam();
  const auto operands = testing::sample_operands(c, DType::f64);
  // One graph computes the outputs and, by the room's gradient, dx for weights r on each output.
  Graph g;
  Values x;
  std::vector<Tensor> feed;
  for (size_t i = 0; i < operands.size(); ++i) {
    const OperandSpec& spec = c.sample().inputs[i];
    if (spec.absent) {
      x.push_back(kNoValue);
    } else if (varies(c, i)) {
      x.push_back(
          g.add_input("x" + std::to_string(i), TensorType(DType::f64, operands[i].shape())));
      feed.push_back(operands[i]);
    } else {
      x.push_back(g.add_constant("x" + std::to_string(i), operands[i]));
    }
  }
  Builder b(g);
  b.op(*c.room, c.sample().attrs, x);
  if (c.sample().results > 0) g.drop_results(g.order().back(), size_t(c.sample().results));
  const Values y = g.node(g.order().back()).outputs;
  const Node node = g.node(g.order().back());
  const std::vector<Tensor> y0 = [&] {
    g.set_outputs(y);
    return interpret(g, feed);
  }();
  std::vector<Tensor> weights;
  Values dy;
  for (size_t i = 0; i < y.size(); ++i) {
    if (!is_float(y0[i].dtype())) {
      dy.push_back(kNoValue);
      weights.emplace_back();
      continue;
    }
    Tensor r(DType::f64, y0[i].shape());
    for (int64_t k = 0; k < r.size(); ++k)
      r.mutable_data<double>()[k] = 0.3 + 0.7 * std::sin(double(k * 7 + int64_t(i)));
    weights.push_back(r);
    dy.push_back(b.constant(r));
  }
  std::vector<bool> wanted;
  for (size_t i = 0; i < x.size(); ++i) wanted.push_back(varies(c, i));
  const Values dx = (*c.room->gradient)(c.sample().attrs, b, Tape(g, node, dy, wanted));
  const auto objective = [&](const std::vector<Tensor>& at) {
    Graph forward = g.compacted();
    const auto out = interpret(forward, at);
    double sum = 0;
    for (size_t i = 0; i < out.size(); ++i)
      for (int64_t k = 0; k < weights[i].size(); ++k) sum += out[i].at(k) * weights[i].at(k);
    return sum;
  };
  // Results: y first (for the objective), then the gradients in a second graph.
  Graph backward = g;
  Values gradients;
  std::vector<size_t> operand_of;
  for (size_t i = 0; i < dx.size() && i < x.size(); ++i)
    if (dx[i] != kNoValue && wanted[i]) {
      gradients.push_back(dx[i]);
      operand_of.push_back(i);
    }
  backward.set_outputs(gradients);
  const auto analytic = interpret(backward, feed);
  Graph only_forward = g;
  only_forward.set_outputs(y);
  only_forward.erase_dead();
  g = only_forward;
  size_t feed_index = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    if (!varies(c, i)) continue;
    const size_t f = feed_index++;
    const auto found = std::find(operand_of.begin(), operand_of.end(), i);
    Tensor zero(DType::f64, operands[i].shape());
    const Tensor& got =
        found == operand_of.end() ? zero : analytic[size_t(found - operand_of.begin())];
    ASSERT_EQ(got.shape(), operands[i].shape()) << "gradient of operand " << i;
    const int64_t step = std::max<int64_t>(1, operands[i].size() / 24);
    for (int64_t k = 0; k < operands[i].size(); k += step) {
      constexpr double h = 1e-5;
      auto moved = feed;
      moved[f] = feed[f].clone();
      moved[f].mutable_data<double>()[k] += h;
      const double up = objective(moved);
      moved[f].mutable_data<double>()[k] -= 2 * h;
      const double numeric = (up - objective(moved)) / (2 * h);
      EXPECT_NEAR(got.at(k), numeric, 1e-6 + 2e-6 * std::abs(numeric))
          << "operand " << i << " element " << k;
    }
  }
}

/// Positions along an axis that belong to index k of a tie.
std::vector<int64_t> positions(const AxisTie& tie, const AxisPlace& p, int64_t k) {
  std::vector<int64_t> at;
  for (int64_t o = 0; o < p.outer; ++o)
    for (int64_t i = 0; i < p.inner; ++i)
      at.push_back(p.offset + (o * tie.count + k) * p.inner + i);
  return at;
}

/// Keeps (or zeroes) positions along an axis.
Tensor without(const Tensor& t, int64_t axis, const std::vector<int64_t>& drop, bool zero_only) {
  std::vector<int64_t> keep;
  for (int64_t i = 0; i < t.shape()[size_t(axis)]; ++i)
    if (zero_only || std::find(drop.begin(), drop.end(), i) == drop.end()) keep.push_back(i);
  Shape shape = t.shape();
  shape[size_t(axis)] = int64_t(keep.size());
  Tensor out(t.dtype(), shape);
  const int64_t inner = product(t.shape(), size_t(axis) + 1, t.shape().size());
  const int64_t outer = product(t.shape(), 0, size_t(axis));
  const ops::ElementCopier copy(t, out);
  for (int64_t o = 0; o < outer; ++o)
    for (size_t i = 0; i < keep.size(); ++i) {
      if (zero_only && std::find(drop.begin(), drop.end(), keep[i]) != drop.end()) continue;
      copy((o * int64_t(keep.size()) + int64_t(i)) * inner,
           (o * t.shape()[size_t(axis)] + keep[i]) * inner, inner);
    }
  return out;
}

// Cutting index k of a tie out of the operands gives what zeroing it gives, minus its slices of the
// results; and where zero passes, the masked results' slices are zero.
TEST_P(WithAxes, CutEqualsMasked) {
  const SampleCase& c = GetParam();
  const auto operands = testing::sample_operands(c, DType::f64);
  const Graph g = testing::sample_graph(c, operands, nullptr);
  const NodeId id = g.order().at(0);
  const Node& node = g.node(id);
  const TypesIn before = types_in(g, id);
  const Types results = types_out(g, id);
  const AxisMap map = (*c.room->axes)(node.attrs, before, results);
  for (size_t t = 0; t < map.ties.size(); ++t) {
    const AxisTie& tie = map.ties[t];
    if (tie.count < 2) continue;
    const int64_t k = tie.count / 2;
    auto cut = operands, masked = operands;
    Types wanted = results;
    for (const AxisPlace& p : tie.places) {
      const auto drop = positions(tie, p, k);
      if (p.output) {
        TensorType type = wanted[size_t(p.slot)].tensor();
        Dim& d = type.dims[size_t(p.axis)];
        ASSERT_LT(drop.back(), d.value()) << "tie " << t;
        d = Dim(d.value() - int64_t(drop.size()));
        wanted[size_t(p.slot)] = type;
      } else {
        ASSERT_LT(drop.back(), operands[size_t(p.slot)].shape()[size_t(p.axis)]) << "tie " << t;
        cut[size_t(p.slot)] = without(cut[size_t(p.slot)], p.axis, drop, false);
        masked[size_t(p.slot)] = without(masked[size_t(p.slot)], p.axis, drop, true);
      }
    }
    Attributes attrs = node.attrs;
    std::vector<Type> types(cut.size());
    std::vector<TypesIn::Operand> after(cut.size());
    for (size_t i = 0; i < cut.size(); ++i) {
      if (c.sample().inputs[i].absent) continue;
      types[i] = TensorType(cut[i].dtype(), cut[i].shape());
      after[i] = {&types[i], &cut[i]};
    }
    if (c.room->resized) {
      Resized r = c.room->resized(attrs, before, TypesIn("after", after), wanted);
      attrs = r.attrs;
      for (auto& [slot, value] : r.constants) cut[size_t(slot)] = value;
    }
    const auto run = [&](const Attributes& a, const std::vector<Tensor>& operands_now) {
      std::vector<const Tensor*> p;
      for (size_t i = 0; i < operands_now.size(); ++i)
        p.push_back(c.sample().inputs[i].absent ? nullptr : &operands_now[i]);
      auto outputs = run_reference(*c.room, a, p);
      outputs.resize(node.outputs.size());
      return outputs;
    };
    const auto got = run(attrs, cut);
    if (tie.reads_whole) continue;  // the graph-level test restricts the statistics
    auto want = run(node.attrs, masked);
    for (const AxisPlace& p : tie.places) {
      if (!p.output) continue;
      const auto drop = positions(tie, p, k);
      if (tie.zero_passes && is_float(want[size_t(p.slot)].dtype())) {
        const Tensor zeroed = without(want[size_t(p.slot)], p.axis, drop, true);
        EXPECT_LE(testing::mismatch(want[size_t(p.slot)], zeroed, 0, 1e-300), 1)
            << "tie " << t << ": zero does not pass";
      }
      want[size_t(p.slot)] = without(want[size_t(p.slot)], p.axis, drop, false);
    }
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < got.size(); ++i)
      EXPECT_LE(testing::mismatch(got[i], want[i], 1e-12, 1e-12), 1)
          << "tie " << t << " result " << i;
  }
}

// The scalar function a pointwise room names computes its reference.
TEST_P(Pointwise, FunctionComputesTheReference) {
  const SampleCase& c = GetParam();
  const auto operands = testing::sample_operands(c, DType::f64);
  const Graph g = testing::sample_graph(c, operands, nullptr);
  const Node& node = g.node(g.order().at(0));
  const auto op = (*c.room->pointwise)(node.attrs, types_in(g, g.order().at(0)));
  if (!op) return;  // not with these operands
  const auto count = size_t(operands_of(op->code));
  ASSERT_LE(count, operands.size());
  std::vector<const Tensor*> given;
  bool floats = true;
  for (size_t i = 0; i < operands.size(); ++i) {
    given.push_back(c.sample().inputs[i].absent ? nullptr : &operands[i]);
    const DType dtype = operands[i].dtype();
    floats = floats && (!given[i] || i >= count || is_float(dtype) || dtype == DType::boolean);
  }
  if (!floats) return;  // lanes are floats or booleans
  const Tensor y = run_reference(*c.room, node.attrs, given).at(0);
  std::array<std::vector<int64_t>, 3> strides;
  for (size_t n = 0; n < 3; ++n)
    strides[n] = n < count ? broadcast_strides(operands[n].shape(), y.shape())
                           : std::vector<int64_t>(y.shape().size(), 0);
  ops::for_each_offset<3>(y.shape(), strides, [&](int64_t i, const std::array<int64_t, 3>& at) {
    std::array<double, 3> x{};
    for (size_t n = 0; n < count; ++n) x[n] = operands[n].at(at[n]);
    const double want = y.at(i);
    EXPECT_NEAR(evaluate(*op, x[0], x[1], x[2]), want, 1e-12 * (1 + std::abs(want)));
  });
}

}  // namespace
}  // namespace espalier
