// Export and import are inverses; what has no ONNX form is said by name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "ir/interpret.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "onnx/export.h"
#include "tests/onnx/models.h"
#include "tests/support/samples.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;

TEST(OnnxExport, EverySampleOfEveryRoomRoundTrips) {
  int told = 0, unsaid = 0;
  for (const auto& c : testing::all_sample_cases()) {
    std::vector<Tensor> feed;
    const Graph g = testing::sample_graph(c, testing::sample_operands(c), &feed);
    std::string bytes;
    try {
      bytes = export_onnx_bytes(g);
    } catch (const UserError& e) {
      EXPECT_EQ(e.code(), ExitCode::kUnsupported) << c.name() << ": " << e.what();
      ++unsaid;
      continue;
    }
    ++told;
    const Graph back = import_onnx_bytes(bytes, c.name());
    EXPECT_EQ(violation(back), "") << c.name();
    if (c.room->reference.refused() || !c.room->deterministic) continue;
    if (back.inputs().size() != g.inputs().size()) continue;  // nothing reads it
    const auto want = testing::flattened(interpret_data(g, to_data(feed)));
    const auto got = testing::flattened(interpret_data(back, to_data(feed)));
    ASSERT_EQ(got.size(), want.size()) << c.name();
    for (size_t i = 0; i < want.size(); ++i)
      EXPECT_LE(testing::mismatch(got[i], want[i], 1e-5, 1e-6), 1) << c.name() << " result " << i;
  }
  EXPECT_GT(told, 10);
  EXPECT_GT(told, unsaid);
}

Graph small_network() {
  Graph g;
  g.name = "small";
  g.metadata["classes"] = "cat,dog";
  const ValueId x = g.add_input("x", parse_type("f32[N,3]"));
  const ValueId w =
      g.add_constant("w", Tensor::from<float>({3, 2}, {1, 2, 3, 4, 5, 6}), Role::kParameter);
  Builder b(g);
  const ValueId h = b.matmul(x, w);
  const ValueId y = b.op("LeakyRelu", {h}, {{"alpha", 0.25f}}, "act", {"y"})[0];
  g.add_output(y);
  return g;
}

TEST(OnnxExport, StructureNamesAndRolesSurvive) {
  const Graph g = small_network();
  const Graph back = import_onnx_bytes(export_onnx_bytes(g), "small.onnx");
  Graph named = back;
  EXPECT_EQ(named.metadata["classes"], "cat,dog");
  EXPECT_EQ(print(back), print(g.compacted()));
}

TEST(OnnxExport, LargeWeightsGoToAFileBeside) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("espalier_export_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const Graph g = small_network();
  export_onnx(g, folder / "m.onnx", {.external_above = 8});
  EXPECT_EQ(std::filesystem::file_size(folder / "m.onnx.data"), 24u);
  EXPECT_EQ(print(import_onnx(folder / "m.onnx")), print(g.compacted()));
  EXPECT_FALSE(std::filesystem::exists(folder / "m.onnx.draft"));
  std::filesystem::remove_all(folder);
}

TEST(OnnxExport, UnwritablePlacesAreNamed) {
  try {
    export_onnx(small_network(), "/nowhere/at/all/m.onnx");
    FAIL();
  } catch (const UserError& e) {
    EXPECT_EQ(e.code(), ExitCode::kBadInput);
    EXPECT_THAT(e.what(), HasSubstr("/nowhere/at/all/m.onnx"));
  }
}

TEST(OnnxExport, StateHasNoOnnxForm) {
  Graph g = small_network();
  const ValueId s = g.add_input("s", g.value(g.outputs()[0]).type);
  g.add_state(s, g.outputs()[0]);
  EXPECT_THROW(export_onnx_bytes(g), UserError);
}

}  // namespace
}  // namespace espalier
