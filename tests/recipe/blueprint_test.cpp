#include "recipe/blueprint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>

#include "base/error.h"
#include "base/files.h"
#include "ir/interpret.h"
#include "ir/room.h"
#include "ir/verify.h"
#include "recipe/recipe.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;

std::string error_of(const std::string& text, const BlueprintOptions& options = {}) {
  try {
    build_blueprint(Yaml::parse(text, "net.yaml"), options);
  } catch (const UserError& e) {
    return std::string(e.what()) + " | " + e.hint();
  }
  return "nothing was thrown";
}

const std::string kHead = "espalier: 1\nname: net\ninput: {shape: [N, 4]}\nbody:\n";

Graph build(const std::string& body, const BlueprintOptions& options = {}) {
  Graph g = build_blueprint(Yaml::parse(kHead + body, "net.yaml"), options);
  EXPECT_EQ(violation(g), "");
  return g;
}

TEST(Blueprint, ErrorsNameFileAndLine) {
  EXPECT_THAT(error_of(kHead + "  - leaky_relu: {slop: 1}\n"),
              HasSubstr("net.yaml:5: leaky_relu has no key 'slop' | did you mean 'slope'?"));
  EXPECT_THAT(error_of(kHead + "  - leaky_rlu\n"),
              HasSubstr("net.yaml:5: there is no block 'leaky_rlu' | did you mean 'leaky_relu'?"));
  EXPECT_THAT(error_of(kHead + "  - conv: {out: 3, kernel: 3}\n"),
              HasSubstr("net.yaml:5: conv needs an input of at least 3 axes, it gets f32[N,4]"));
  EXPECT_THAT(error_of("espalier: 2\nname: net\n"),
              HasSubstr("net.yaml:1: is written for format 2, this program reads format 1"));
  EXPECT_THAT(error_of("espalier: 1\nname: net\ninput: {shape: [N, 0]}\nbody: []\n"),
              HasSubstr("net.yaml:3: an extent is 0, it must be at least 1"));
  EXPECT_THAT(error_of("espalier: 1\nname: net\ninput: {shape: [N, 4]}\nbody: []\n"),
              HasSubstr("net.yaml:4: the body has no blocks"));
  EXPECT_THAT(error_of(kHead + "  - leaky_relu: {slope: $slope}\n"),
              HasSubstr("net.yaml:5: there is no variable 'slope' here"));
  EXPECT_THAT(error_of(kHead + "  - leaky_relu\n", {.variables = {{"width", "2"}}}),
              HasSubstr("net.yaml: declares no variable 'width'"));
}

TEST(Blueprint, RepeatBindsItsListsInStepAndCountsRounds) {
  const Graph g = build(
      "  - repeat:\n"
      "      for: {stage: [a, b], slope: [0.1, 0.2]}\n"
      "      name: layer$stage\n"
      "      body:\n"
      "        - repeat:\n"
      "            for: {slope: [$slope, 0.5]}\n"
      "            name: $index\n"
      "            body:\n"
      "              - leaky_relu: {name: act, slope: $slope}\n");
  ASSERT_EQ(g.order().size(), 4u);
  const std::vector<std::string> names = {"layera.0.act", "layera.1.act", "layerb.0.act",
                                          "layerb.1.act"};
  const std::vector<float> slopes = {0.1f, 0.5f, 0.2f, 0.5f};
  for (size_t i = 0; i < 4; ++i) {
    const Node& n = g.node(g.order()[i]);
    EXPECT_EQ(n.name, names[i]);
    EXPECT_EQ(std::get<float>(n.room->print(n.attrs, true).at("alpha")), slopes[i]);
  }
  EXPECT_THAT(error_of(kHead + "  - repeat: {for: {a: [1, 2], b: [1]}, body: [relu]}\n"),
              HasSubstr("'b' has 1 values, the list before 2"));
  EXPECT_THAT(error_of(kHead + "  - repeat: {times: 2, body: [leaky_relu: {name: x}]}\n"),
              HasSubstr("two blocks are named 'x'"));
}

TEST(Blueprint, ResidualAddsWhatMainLeavesUnchanged) {
  const Graph g = build("  - residual: {main: [leaky_relu]}\n");
  EXPECT_EQ(g.order().size(), 2u);
  EXPECT_THAT(error_of(kHead + "  - residual: {main: [leaky_relu], shortcut: none}\n"),
              HasSubstr("shortcut cannot be 'none'"));
}

TEST(Blueprint, ZooBesideTheRecipeComesFirst) {
  namespace fs = std::filesystem;
  const fs::path top = fs::temp_directory_path() / ("espalier_zoo_" + std::to_string(::getpid()));
  fs::create_directories(top / "zoo");
  fs::create_directories(top / "fit");
  write_file_atomic(top / "zoo/own.yaml", kHead + "  - relu\n");
  const fs::path recipe = top / "fit/recipe.yaml";
  EXPECT_EQ(zoo_path("own", recipe), top / "zoo/own.yaml");
  write_file_atomic(recipe,
                    "espalier: 1\ntask: train\nname: a\nmodel: {zoo: own}\n"
                    "data: synthetic:glyphs\n");
  EXPECT_EQ(read_train_recipe(load_recipe(recipe, "train")).model.path, top / "zoo/own.yaml");
  EXPECT_THROW(zoo_path("own"), UserError);
  fs::remove_all(top);
}

TEST(Blueprint, ZooNamesUnknownNetworks) {
  try {
    zoo_path("resnet21");
    FAIL();
  } catch (const UserError& e) {
    EXPECT_THAT(e.what(), HasSubstr("network 'resnet21': there is no such definition"));
    EXPECT_THAT(e.hint(), HasSubstr("did you mean 'resnet2"));
  }
}

/// y1 = x1 + f(x2), y2 = x2 + g(y1), twice, computed by hand.
TEST(Blueprint, ReversibleBlocksCoupleHalves) {
  const std::string text =
      "  - reversible:\n"
      "      times: 2\n"
      "      name: block$index\n"
      "      f:\n"
      "        - linear: {name: fc, out: $half, bias: false}\n";
  const Graph g = build(text);
  std::vector<std::string> names;
  for (ValueId v : g.constants())
    if (g.value(v).role == Role::kParameter) names.push_back(g.value(v).name);
  EXPECT_THAT(names, ::testing::ElementsAre("block0.f.fc.weight", "block0.g.fc.weight",
                                            "block1.f.fc.weight", "block1.g.fc.weight"));
  double x[2][2] = {{0.5, -1}, {2, 0.25}};
  const std::vector<Tensor> input = {Tensor::from<float>({1, 4}, {0.5f, -1, 2, 0.25f})};
  for (size_t k = 0; k < 4; ++k) {
    const Tensor& w = *g.value(g.find(names[k])).constant;
    double(&to)[2] = x[k % 2];
    const double(&from)[2] = x[1 - k % 2];
    for (int64_t i = 0; i < 2; ++i) to[i] += w.at(2 * i) * from[0] + w.at(2 * i + 1) * from[1];
  }
  const Tensor y = interpret(g, input).at(0);
  for (int64_t i = 0; i < 4; ++i) EXPECT_NEAR(y.at(i), x[i / 2][i % 2], 1e-5);

  EXPECT_THAT(error_of(kHead + "  - reversible: {f: [{linear: {out: 3}}]}\n"),
              HasSubstr("net.yaml:5: f turns f32[N,2] into f32[N,3], which cannot be added | what "
                        "a reversible block adds has the shape of its halves"));
  EXPECT_THAT(error_of(kHead + "  - linear: {out: 3}\n  - reversible: {f: [relu]}\n"),
              HasSubstr("net.yaml:6: a reversible block needs two halves along axis 1, its input "
                        "is f32[N,3]"));
}

TEST(Blueprint, LabelsAndLengths) {
  const Graph g = build("  - label: {classes: 2, scale: 3}\n  - length_norm\n");
  const Tensor y =
      interpret(g, std::vector{Tensor::from<float>({2, 4}, {9, 9, 2, 0, 1, 0, 0, 0})})[0];
  for (int64_t n = 0; n < 2; ++n) {
    // The label's elements are what they are, whatever the sample has in their place.
    const std::vector<double> x = {1.5, 1.5, n == 0 ? 2.0 : 0.0, 0};
    const double root = std::sqrt((2 * 2.25 + x[2] * x[2]) / 4);
    for (int64_t i = 0; i < 4; ++i) EXPECT_NEAR(y.at(n * 4 + i), x[size_t(i)] / root, 1e-6);
  }
  EXPECT_EQ(g.value(g.find("neutral_label")).role, Role::kNone);
  EXPECT_THAT(error_of(kHead + "  - label: {classes: 5}\n"),
              HasSubstr("net.yaml:5: label needs samples of at least 5 numbers"));
  EXPECT_THAT(error_of(kHead + "  - label: {classes: 2}\n  - label: {classes: 2}\n"),
              HasSubstr("'neutral_label' already"));
  EXPECT_THAT(error_of(kHead + "  - length_norm: {axis: 2}\n"), HasSubstr("known axis 2"));
}

TEST(Blueprint, TransposedConvolutionsAndClassesOfPlaces) {
  const Graph g =
      build_blueprint(Yaml::parse("espalier: 1\nname: net\ninput: {shape: [N, 3, 4, 5, 6]}\nbody:\n"
                                  "  - conv_transpose: {name: up, out: 7, kernel: 2, stride: 2}\n"
                                  "  - channels_last\n",
                                  "net.yaml"));
  EXPECT_EQ(violation(g), "");
  EXPECT_EQ(to_string(g.value(g.outputs()[0]).tensor()), "f32[N,8,10,12,7]");
  EXPECT_EQ(g.value(g.find("up.weight")).tensor().shape(), (Shape{3, 7, 2, 2, 2}));
}

}  // namespace
}  // namespace espalier
