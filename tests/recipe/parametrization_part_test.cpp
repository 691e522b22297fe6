// What recipes say of parametrisations: read, refused, and what the networks of the zoo become.
#include "recipe/parametrization_part.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/log.h"
#include "base/threads.h"
#include "data/source.h"
#include "recipe/coordinate_check.h"
#include "recipe/recipe.h"
#include "runtime/session.h"
#include "tests/support/error_of.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
const bool kQuiet = (set_quiet(true), true);

TrainRecipe read(const std::string& parametrization, const std::string& variables = "",
                 const std::string& optimizer = "adamw") {
  return read_train_recipe(Yaml::parse(
      "espalier: 1\ntask: train\nname: t\nseed: 2\nmodel: {zoo: char_gpt, variables: "
      "{layers: 1, heads: 2, context: 8" +
          variables +
          "}}\ndata: {kind: synthetic, path: text, context: 8, samples: 300, cache: "
          "off}\ntraining:\n  epochs: 1\n  epoch_steps: 6\n  batch: 8\n  optimizer: "
          "{kind: " +
          optimizer + "}\n  schedule: {kind: constant, peak: 0.004}\n  parametrization: " +
          parametrization + "\n",
      "r.yaml"));
}

using ::espalier::testing::error_of;

ParametrizedNetwork network_of(const TrainRecipe& r) {
  return parametrized_network(r.model, *r.parametrization, r.training.optimizer, 3, nullptr);
}

const Tensor& constant(const Graph& g, const std::string& name) {
  return *g.value(g.find(name)).constant;
}

double deviation_of(const Tensor& t) {
  double sum = 0;
  for (int64_t i = 0; i < t.size(); ++i) sum += t.at(i) * t.at(i);
  return std::sqrt(sum / double(t.size()));
}

constexpr const char* kNarrow = "base: {width: 16, hidden: 32}";

TEST(ParametrizationPart, IsReadAndRefusedWithItsLine) {
  const TrainRecipe r =
      read("{kind: mup, " + std::string(kNarrow) + ", hidden: {rate: 0.5}, attention: root}");
  EXPECT_EQ(r.parametrization->exponents.text(),
            "mup,input=-0.5/0.5/0.5,hidden=0/0.5/0.5,output=0.5/0.5/0.5,attention=root");
  EXPECT_EQ(r.parametrization->base.at("hidden"), "32");
  const auto wrong = [](const std::string& part, const std::string& optimizer = "adamw") {
    return error_of([&] { network_of(read(part, ", width: 32, hidden: 64", optimizer)); });
  };
  EXPECT_THAT(wrong("{kind: mupp, base: {width: 16}}"), HasSubstr("r.yaml:13"));
  EXPECT_THAT(wrong("{kind: mup}"), HasSubstr("base"));
  EXPECT_THAT(wrong("{kind: mup, base: {}}"), HasSubstr("names no variable"));
  EXPECT_THAT(wrong("{kind: mup, base: {widht: 16}}"), HasSubstr("'widht'"));
  EXPECT_THAT(wrong("{kind: mup, base: {layers: 2}}"), HasSubstr("lacks its base's parameter"));
  EXPECT_THAT(wrong("{kind: mup, base: {width: 16}}", "soap"), HasSubstr("use sgd, adamw"));
  TrainRecipe file = read("{kind: mup, base: {width: 16}}");
  file.model = model_from_file("net.onnx");
  EXPECT_THAT(error_of([&] { network_of(file); }), HasSubstr("needs a definition"));
}

TEST(ParametrizationPart, KindsAreTheDefinitionAtTheBase) {
  for (const char* kind : {"standard", "ntk", "mup"}) {
    const TrainRecipe r =
        read("{kind: " + std::string(kind) + ", " + kNarrow + "}", ", width: 16, hidden: 32");
    const ParametrizedNetwork p = network_of(r);
    EXPECT_TRUE(p.rate_factors.empty());
    const Graph plain = r.model.build(3, nullptr);
    ASSERT_EQ(p.graph.node_count(), plain.node_count());
    for (ValueId v : plain.constants())
      EXPECT_TRUE(constant(p.graph, plain.value(v).name).identical(*plain.value(v).constant));
  }
}

TEST(ParametrizationPart, WidthsBecomeWhatTheExponentsSay) {
  const std::string wide = ", width: 64, hidden: 128";
  const ParametrizedNetwork p =
      network_of(read("{kind: mup, " + std::string(kNarrow) + "}", wide + ", tied: false"));
  const double n = 4;
  EXPECT_DOUBLE_EQ(p.rate_factors.at("blocks.0.attn.qkv.weight"), 1 / n);
  EXPECT_DOUBLE_EQ(p.rate_factors.at("lm_head.weight"), 1 / n);
  EXPECT_FALSE(p.rate_factors.contains("wte.weight"));
  EXPECT_FALSE(p.rate_factors.contains("blocks.0.norm1.weight"));
  EXPECT_NEAR(deviation_of(constant(p.graph, "blocks.0.mlp.fc1.weight")), 0.02 / std::sqrt(n),
              0.001);
  EXPECT_NEAR(deviation_of(constant(p.graph, "lm_head.weight")), 0.02 / n, 0.0005);
  EXPECT_NEAR(deviation_of(constant(p.graph, "wte.weight")), 0.02, 0.001);
  // Heads of 8 become heads of 32.
  EXPECT_FLOAT_EQ(float(constant(p.graph, "blocks.0.attn.scale").at(0)),
                  float(std::sqrt(8.0) / 32));
  const ParametrizedNetwork standard =
      network_of(read("{kind: standard, " + std::string(kNarrow) + "}", wide));
  EXPECT_FLOAT_EQ(float(constant(standard.graph, "blocks.0.attn.scale").at(0)),
                  float(1 / std::sqrt(32.0)));
}

/// A tied table is an input's; what it answers falls with the width.
TEST(ParametrizationPart, TiedTablesAnswerThroughAMultiplier) {
  const TrainRecipe r =
      read("{kind: mup, " + std::string(kNarrow) + "}", ", width: 64, hidden: 128");
  const ParametrizedNetwork p = network_of(r);
  EXPECT_FALSE(p.rate_factors.contains("wte.weight"));
  EXPECT_DOUBLE_EQ(p.scales.at("wte.weight").multiplier, 0.25);
  // The same network without the multiplier answers four times as much.
  Graph plain = p.graph;
  for (NodeId id : plain.order()) {
    Node& node = plain.mutable_node(id);
    if (node.name == "lm_head")
      node.inputs[0] = plain.node(plain.value(node.inputs[0]).producer).inputs[0];
  }
  plain.erase_dead();
  Tensor tokens(DType::i64, {1, 8});
  for (int64_t i = 0; i < 8; ++i) tokens.mutable_data<int64_t>()[i] = 3 * i;
  const Tensor scaled = Model(p.graph).run({tokens}).at(0),
               whole = Model(plain).run({tokens}).at(0);
  for (int64_t i = 0; i < scaled.size(); ++i)
    EXPECT_NEAR(4 * scaled.at(i), whole.at(i), 1e-5 + 1e-5 * std::abs(whole.at(i)));
}

TEST(CoordinateCheck, SeesStandardFeaturesGrowAndMupsStay) {
  const ThreadScope one_thread(1);
  const TrainRecipe r = read("{kind: mup, base: {width: 16, hidden: 32}}", ", tied: false");
  const DataSource source(r.data);
  const WidthFamily family{r.model, *r.parametrization, r.training, source.split(Split::train),
                           source.split(Split::train)};
  EXPECT_EQ(family.width(4), 64);
  const CoordinateOptions options{{1, 8}, 3, 1, 0.004, 0};
  const CoordinateCheck standard = check_coordinates(family, "standard", options);
  const CoordinateCheck mup = check_coordinates(family, "mup", options);
  ASSERT_EQ(standard.layers.size(), 7u);  // qkv, scores, mixed, proj, fc1, fc2, lm_head
  EXPECT_EQ(standard.layers.back().layer, "lm_head");
  for (const LayerChange& l : standard.layers) EXPECT_EQ(l.change.size(), 2u);
  EXPECT_GT(standard.layers.back().slope, 0.5);
  EXPECT_LT(std::abs(mup.layers.back().slope), 0.35);
  const WidthSweep sweep = sweep_rates(family, "mup", 1, {1e-4, 1e-2, 1e6}, {1, 2});
  ASSERT_EQ(sweep.loss.size(), 3u);
  EXPECT_EQ(sweep.best, 1u);
  EXPECT_FALSE(sweep.at_edge);
  EXPECT_GT(sweep.loss[2], sweep.loss[1]);
  EXPECT_EQ(sweep.width, 16);
}

}  // namespace
}  // namespace espalier
