// Reproductions: recipes that state a claim, and the measurement of pictures.
#include "reproduce/reproduce.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "base/error.h"
#include "diagram/diagram.h"
#include "ir/room.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "recipe/blueprint.h"
#include "reproduce/diagram_counts.h"
#include "reproduce/drawn_networks.h"
#include "reproduce/planted_faults.h"
#include "tests/support/run_op.h"
#include "tests/support/tree.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
using testing::user_error;

const std::string kRecipe =
    testing::source_dir() + "/recipes/reproduce/neural-circuit-diagrams.yaml";

constexpr const char* kHead =
    "espalier: 1\n"
    "reproduces: {id: 170, system: s, paper: p, claim: c, baseline: b, bar: r}\n";

Reproduction run(const std::string& rest) {
  return reproduce(Yaml::parse(kHead + rest, "r.yaml"), {.recipe = kRecipe, .seed = 0});
}

std::vector<Graph> networks() {
  std::vector<Graph> graphs;
  for (const std::string& name : drawn_network_names()) graphs.push_back(drawn_network(name, 0));
  for (const char* name : {"mlp", "lenet5", "ds_cnn", "resnet8", "mobilenetv2"})
    graphs.push_back(load_blueprint(zoo_path(name, kRecipe)));
  return graphs;
}

TEST(Reproduce, PicturesKeepWhatBoxesAndArrowsLose) {
  const Reproduction r =
      run("measure: diagrams\nnetworks: [lenet5, transformer_block, u_net]\nfaults: 12\n");
  EXPECT_TRUE(r.found.holds) << r.found.measured.dump() << r.found.baseline.dump();
  EXPECT_EQ(r.system, "s");
  const auto& m = r.found.measured;
  EXPECT_EQ(m["networks"], 3);
  EXPECT_EQ(m["identical"], 3);
  EXPECT_EQ(m["run"], 3);
  EXPECT_EQ(m["same_outputs"], 3);
  EXPECT_EQ(m["axes_drawn"], m["axes"]);
  EXPECT_GT(m["broadcast_axes"], 0);
  EXPECT_GT(m["parallel_paths"], 4);
  const int faults = m["faults"];
  EXPECT_GT(faults, 15);
  EXPECT_EQ(m["faults_in_source"], faults);
  EXPECT_LT(r.found.baseline["faults_in_picture"], faults);
}

TEST(Reproduce, WrongRecipesAreRefused) {
  const auto error = [](const std::string& rest) { return user_error([&] { run(rest); }); };
  EXPECT_THAT(error(""), HasSubstr("measure"));
  EXPECT_THAT(error("measure: nothing\n"), HasSubstr("r.yaml:3"));
  EXPECT_THAT(error("measure: diagrams\n"), HasSubstr("networks"));
  EXPECT_THAT(error("measure: diagrams\nnetworks: []\n"), HasSubstr("names no networks"));
  EXPECT_THAT(error("measure: diagrams\nnetworks: [mlpp]\n"), HasSubstr("mlpp"));
  EXPECT_THAT(error("measure: diagrams\nnetworks: [mlp]\nfault: 3\n"), HasSubstr("fault"));
  EXPECT_THAT(user_error([] {
                reproduce(Yaml::parse("espalier: 2\n", "r.yaml"), {.recipe = {}, .seed = 0});
              }),
              HasSubstr("format 2"));
  EXPECT_THAT(user_error([] {
                reproduce(Yaml::parse("espalier: 1\nreproduces: {system: s}\n", "r.yaml"),
                          {.recipe = {}, .seed = 0});
              }),
              HasSubstr("paper"));
}

TEST(Reproduce, ShippedRecipeNamesNetworksThereAre) {
  const Yaml recipe = Yaml::load(kRecipe);
  const std::vector<std::string> own = drawn_network_names();
  for (const Yaml& name : recipe.find("networks")->items()) {
    if (std::ranges::find(own, name.text()) != own.end()) continue;
    EXPECT_TRUE(std::filesystem::exists(zoo_path(name.text(), kRecipe)));
  }
  EXPECT_EQ(recipe.find("reproduces")->find("id")->text(), "170");
}

/// Broadcast axes by what the operators are defined to do, for those the networks hold.
size_t defined_repeats(const Graph& g, const Node& n) {
  const size_t rank = g.value(n.outputs[0]).tensor().dims.size();
  const std::string op = n.room->op.name;
  if (op == "BatchNormalization") return 4 * (rank - 1);
  if (op == "LayerNormalization") return 2 * (rank - 1);
  if ((op == "Conv" || op == "Gemm") && n.inputs.size() > 2) return 1;  // a bias along N
  if (op == "MatMul")  // a matrix for every leading index
    return rank - g.value(n.inputs[1]).tensor().dims.size();
  return 0;
}

TEST(Counts, OfPicturesAreThoseOfGraphs) {
  for (const Graph& g : networks()) {
    SCOPED_TRACE(g.name);
    ASSERT_EQ(violation(g), "");
    const std::string svg = without_source(diagram::draw(g));
    const PictureCounts shown = counted_in_picture(svg), held = counted_in_graph(g);
    EXPECT_EQ(shown.boxes, held.boxes);
    EXPECT_EQ(shown.axes, held.axes);
    EXPECT_EQ(shown.links, held.links);
    EXPECT_EQ(shown.parallel, held.parallel);
    EXPECT_EQ(overlaps_in_picture(svg), 0u);
    ASSERT_EQ(shown.repeats.size(), g.order().size());
    for (size_t i = 0; i < g.order().size(); ++i) {
      const size_t expected =
          held.repeats[i].value_or(0) + defined_repeats(g, g.node(g.order()[i]));
      EXPECT_EQ(shown.repeats[i].value_or(0), expected) << describe(g, g.order()[i]);
    }
  }
}

TEST(Counts, MissWhatIsMissing) {
  const std::string svg = without_source(diagram::draw(drawn_network("u_net", 0)));
  const PictureCounts whole = counted_in_picture(svg);
  const auto without = [&](const std::string& what) {
    std::string less = svg;
    return counted_in_picture(less.erase(less.find(what), 5));
  };
  EXPECT_EQ(without("<path class=\"axis\"").axes + 1, whole.axes);
  EXPECT_EQ(without("<g class=\"link\"").links + 1, whole.links);
  EXPECT_EQ(without("<g class=\"box\"").boxes + 1, whole.boxes);
  // Two skips of the U-Net run beside what goes down and up.
  EXPECT_EQ(whole.parallel, 2u);
  EXPECT_EQ(overlaps_in_picture("<rect class=\"body\" x=\"0\" y=\"0\" width=\"9\" height=\"9\"/>"
                                "<rect class=\"body\" x=\"8\" y=\"8\" width=\"9\" height=\"9\"/>"
                                "<rect class=\"body\" x=\"17\" y=\"8\" width=\"9\" height=\"9\"/>"),
            1u);
}

TEST(PlantedFaults, AreNetworksThatDiffer) {
  for (const std::string& name : drawn_network_names()) {
    const Graph g = drawn_network(name, 0);
    const std::string text = print(g);
    std::map<std::string, int> kinds;
    const size_t shown = plant_faults(g, 30, [&](const std::string& what, const Graph& faulty) {
      EXPECT_EQ(violation(faulty), "") << what;
      EXPECT_NE(print(faulty), text) << what;
      ++kinds[what];
    });
    EXPECT_GE(shown, 6u) << name;
    EXPECT_LE(shown, 30u) << name;
    EXPECT_GE(kinds.size(), 4u) << name;
  }
}

TEST(DrawnNetworks, UnknownNamesAreRefused) {
  EXPECT_THAT(user_error([] { drawn_network("u_met", 0); }), HasSubstr("is not built in"));
}

}  // namespace
}  // namespace espalier
