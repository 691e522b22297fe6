// Every sample of every room whose `emit` is not refused, in one C file: what it computes is what
// the reference computes.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/error.h"
#include "deploy/c_file.h"
#include "ir/interpret.h"
#include "tests/deploy/run_c.h"
#include "tests/support/samples.h"

namespace espalier {
namespace {

using testing::SampleCase;

bool in_c(const Type& type) { return type.is_static() && has_c_type(type.tensor().dtype); }

/// Why a sample may have no C form although its operator has one; empty where it must have one.
std::string excuse(const Graph& g, const SampleCase& c) {
  for (NodeId id : g.order())
    for (const auto* list : {&g.node(id).inputs, &g.node(id).outputs})
      for (ValueId v : *list)
        if (v != kNoValue && !in_c(g.value(v).type)) return "types without a name in C, open sizes";
  static const std::map<std::string, std::string> known = {
      {"Shrink", "of integers"},
      {"Pow", "of integers to fractional powers"},
      {"Clip", "of 16-bit floats"},
      {"Resize", "extrapolation"},
      {"Dropout", "draws at random"},
      {"GridSample", "no function yet"},
      {"STFT", "through DFT, which has no function yet"},
      {"TopK", "of anything but f32"}};
  const auto found = known.find(c.room->op.name);
  return found == known.end() ? "" : found->second;
}

TEST(RoomsInC, SamplesComputeTheReference) {
  CFile file("rooms");
  std::vector<SampleCase> cases;
  std::vector<Graph> graphs;
  std::vector<std::vector<Tensor>> feeds;
  int refused = 0, excused = 0;
  for (const SampleCase& c : testing::all_sample_cases()) {
    if (c.room->emit.refused()) {
      ++refused;
      continue;
    }
    std::vector<Tensor> feed;
    const Graph g = testing::sample_graph(c, testing::sample_operands(c), &feed);
    try {
      file.add(g, "n" + std::to_string(cases.size()));
    } catch (const UserError& e) {
      EXPECT_NE(excuse(g, c), "") << c.name() << ": " << e.what();
      ++excused;
      continue;
    }
    cases.push_back(c);
    graphs.push_back(g);
    feeds.push_back(feed);
  }
  RecordProperty("in_c", int(cases.size()));
  RecordProperty("refused", refused);
  RecordProperty("excused", excused);
  // Some nine of ten samples of operators that compute; fewer means that a facet was lost.
  EXPECT_GE(cases.size(), 500u) << refused << " refused, " << excused << " excused";
  const auto results = testing::run_in_c(file, "rooms", feeds);
  for (size_t i = 0; i < cases.size(); ++i) {
    const auto want = testing::flattened(interpret_data(graphs[i], to_data(feeds[i])));
    ASSERT_EQ(results[i].size(), want.size()) << cases[i].name();
    for (size_t o = 0; o < want.size(); ++o) {
      const Tensor &got = results[i][o], &wanted = want[o];
      ASSERT_EQ(got.shape(), wanted.shape()) << cases[i].name();
      if (size_of(wanted.dtype()) == 1 && wanted.dtype() != DType::boolean) {
        // Rounding of what is quantised may fall on the other side.
        for (int64_t k = 0; k < got.size(); ++k)
          EXPECT_LE(std::abs(got.int_at(k) - wanted.int_at(k)), 1) << cases[i].name();
        continue;
      }
      EXPECT_LE(testing::mismatch(got, wanted, 1e-4, 2e-5), 1)
          << cases[i].name() << " result " << o;
    }
  }
}

TEST(RoomsInC, RefusalsNameNodeAndReason) {
  Graph g;
  g.add_input("x", TensorType(DType::f32, Shape{3}));
  Builder b(g);
  const ValueId x = g.inputs()[0];
  g.add_output(b.op("NonZero", {x}, {}, "picks")[0]);
  CFile file("refused");
  try {
    file.add(g, "net");
    FAIL();
  } catch (const UserError& e) {
    const std::string text = e.what();
    EXPECT_NE(text.find("NonZero 'picks'"), std::string::npos) << text;
    EXPECT_NE(text.find("size depends on data"), std::string::npos) << text;
  }
  // What was refused leaves nothing behind.
  EXPECT_TRUE(file.networks().empty());
  EXPECT_EQ(file.source().find("static int"), std::string::npos);
}

}  // namespace
}  // namespace espalier
