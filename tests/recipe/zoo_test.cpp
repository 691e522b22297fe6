// Parameters and multiply-accumulates of the shipped networks against the published numbers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "ir/derive.h"
#include "ir/interpret.h"
#include "ir/verify.h"
#include "recipe/blueprint.h"
#include "tests/support/tree.h"

namespace espalier {
namespace {

Graph zoo(const std::string& name, const BlueprintOptions& options = {}) {
  return load_blueprint(testing::source_dir() + "/recipes/zoo/" + name + ".yaml", options);
}

struct Published {
  const char* name;
  const char* source;
  int64_t trained;  ///< parameters without running statistics
  int64_t stored;   ///< with them
  double macs;      ///< of one input, contractions only
};

void PrintTo(const Published& p, std::ostream* os) { *os << p.name; }

constexpr int64_t kUNetWeights =
    432 + 2 * 4 * 1032 + 2 * 4 * 2832 + 4 * 8736 + 4096 + 16384 + 16384 + 2048 + 4096 + 512 + 68;
constexpr int64_t kUNetNormed =
    16 + 2 * 4 * 56 + 2 * 4 * 112 + 4 * 224 + 32 + 64 + 32 + 32 + 16 + 16;

const Published kPublished[] = {
    {"mlp",
     "LeNet-300-100 has 267 thousand weights (Han et al. 2015, Learning both weights and "
     "connections, table 1)",
     266610, 266610, 266200},
    {"lenet5", "61,706 parameters: the usual count of LeNet-5 with full connections", 61706, 61706,
     416520},
    {"resnet8",
     "78,666 parameters and 12.5 million multiply-accumulates in MLPerf Tiny's reference model; "
     "Keras counts running statistics",
     78186, 78666, 12501632},
    {"resnet20",
     "0.27 M parameters (He et al. 2016, table 6); with projections 272,474 parameters and 40.81 M "
     "multiply-accumulates",
     272474, 272474 + 1568, 40813184},
    {"resnet18", "11,689,512 parameters, 1.81 G multiply-accumulates (torchvision's weight table)",
     11689512, 11689512 + 9600, 1814073344},
    {"resnet18_cifar",
     "by hand: as resnet18, but 1,728 for 9,408 in its stem and 5,130 for 513,000 in its classes",
     11173962, 11173962 + 9600, 555422720},
    {"mobilenetv2",
     "3,504,872 parameters, 0.30 G multiply-accumulates (torchvision's weight table; Sandler et "
     "al. 2018, table 4: 3.4 M, 300 M)",
     3504872, 3504872 + 34112, 300774272},
    {"vit_tiny",
     "5.7 M parameters (Touvron et al. 2021, Training data-efficient image transformers, table 1: "
     "DeiT-Ti); by hand 28,901,376 for the patches, 102,049,152 for each of 12 blocks, 192,000 for "
     "the classes",
     5717416, 5717416, 28901376.0 + 12 * 102049152.0 + 192000},
    {"char_gpt",
     "by hand, of GPT-2 with a tied head: (V + T) d for tokens and positions, 12 d^2 + 13 d for "
     "each of L blocks, 2 d at the end; 12 d^2 T + 2 d T^2 multiply-accumulates a block, V d T for "
     "the head",
     (65 + 64) * 128 + 4 * (12 * 128 * 128 + 13 * 128) + 2 * 128,
     (65 + 64) * 128 + 4 * (12 * 128 * 128 + 13 * 128) + 2 * 128,
     4 * (12.0 * 128 * 128 * 64 + 2.0 * 128 * 64 * 64) + 65.0 * 128 * 64},
    {"bert_mini_encoder",
     "11.2 M parameters (Turc et al. 2019) less 7,945,216 of the embeddings and their norm's 512 "
     "and "
     "65,792 of the pooler; by hand 128 x 786,432 of each block's layers and 2 x 128 x 128 x 256 "
     "of "
     "its attention",
     3159040, 3159040, 4 * (100663296.0 + 8388608)},
    {"ds_cnn",
     "24,908 parameters and 2.7 million multiply-accumulates in MLPerf Tiny's reference model; "
     "Keras counts running statistics",
     23756, 24908, 2656768},
    {"small_digits",
     "by hand, of no publication: 72, 1,152, 4,608 and 9,216 weights at 784, 196, 49 and 49 "
     "places, "
     "3 for each of 88 channels, and 330 of the classes",
     15048 + 3 * 88 + 330, 15048 + 3 * 88 + 330 + 2 * 88,
     784 * 72.0 + 196 * 1152.0 + 49 * 4608.0 + 49 * 9216.0 + 320},
    {"ds_digits",
     "by hand, of no publication: 25 x 32 weights at 196 places, then four times 9 x 32 and 32 x "
     "32, "
     "at 196 places and at 49, biases and norms of nine times 32 channels, and 330 of the classes",
     800 + 4 * (288 + 1024) + 3 * 9 * 32 + 330, 800 + 4 * (288 + 1024) + 5 * 9 * 32 + 330,
     196 * 800.0 + (196 + 3 * 49) * (288.0 + 1024) + 320},
    {"tiny_digits",
     "by hand, of no publication: 72 and 864 weights at 49 and 16 places, 1,920 of the classes, "
     "and "
     "30 biases",
     2886, 2886, 49 * 72.0 + 16 * 864.0 + 1920},
    {"softmax_regression", "by hand: 784 weights and a bias for each of 10 classes", 7850, 7850,
     7840},
    {"small_digits_gn", "as small_digits, without running statistics", 15048 + 3 * 88 + 330,
     15048 + 3 * 88 + 330, 784 * 72.0 + 196 * 1152.0 + 49 * 4608.0 + 49 * 9216.0 + 320},
    {"deep_mlp", "by hand: 196 pixels, four layers of 256, 10 classes",
     196 * 256 + 3 * 65536 + 2560 + 4 * 256 + 10, 196 * 256 + 3 * 65536 + 2560 + 4 * 256 + 10,
     196 * 256 + 3 * 65536.0 + 2560},
    {"forward_mlp", "as deep_mlp, and 10 classes that read two more layers",
     196 * 256 + 3 * 65536 + 7680 + 4 * 256 + 10, 196 * 256 + 3 * 65536 + 7680 + 4 * 256 + 10,
     196 * 256 + 3 * 65536.0 + 7680},
    {"plain_cnn", "by hand: 144 and three times 2,304 weights at 49 places, 1,440 of the classes",
     144 + 3 * 2304 + 64 + 1450, 144 + 3 * 2304 + 64 + 1450, 49 * (144 + 3 * 2304.0) + 1440},
    {"row_rnn",
     "by hand: 100 units that read 14 pixels and each other, two biases each, 10 classes",
     1400 + 10000 + 200 + 1010, 12610, 14 * (1400.0 + 10000.0) + 1000},
    // A chain of two blocks has four bottlenecks, each of 2 c h + 27 h weights and norms of h, h
    // and c channels.
    {"reversible_unet3d",
     "by hand, of no publication: five chains at 13,824, 1,728 and 216 places, what leads from one "
     "level to the next, and 4 classes",
     kUNetWeights + 2 * kUNetNormed, kUNetWeights + 4 * kUNetNormed,
     13824 * (432.0 + 2 * 4 * 1032 + 512 + 64) + 1728 * (4096.0 + 2 * 4 * 2832 + 2048 + 8 * 512) +
         216 * (16384.0 + 4 * 8736 + 8 * 2048)},
};

class Zoo : public ::testing::TestWithParam<Published> {};
INSTANTIATE_TEST_SUITE_P(Networks, Zoo, ::testing::ValuesIn(kPublished),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(Zoo, HasThePublishedSize) {
  const Graph g = zoo(GetParam().name);
  ASSERT_EQ(violation(g), "");
  int64_t trained = 0, buffers = 0;
  for (ValueId v : g.constants()) {
    const Value& c = g.value(v);
    if (c.role == Role::kParameter) trained += c.constant->size();
    if (c.role == Role::kBuffer) buffers += c.constant->size();
  }
  EXPECT_EQ(trained, GetParam().trained) << GetParam().source;
  EXPECT_EQ(trained + buffers, GetParam().stored) << GetParam().source;
  Shape one = {1};
  for (size_t d = 1; d < g.value(g.inputs()[0]).tensor().dims.size(); ++d)
    one.push_back(g.value(g.inputs()[0]).tensor().dims[d].value());
  EXPECT_EQ(cost_of(specialised(g, std::vector<Shape>{one})).macs, GetParam().macs)
      << GetParam().source;
}

TEST(ZooGpt, HasTheSizeOfTheFormulaWhateverItsVariables) {
  const auto parameters = [](const Graph& g) {
    int64_t n = 0;
    for (ValueId v : g.constants())
      if (g.value(v).role == Role::kParameter) n += g.value(v).constant->size();
    return n;
  };
  // 10.9 million: the GPT of the benchmarks.
  const BlueprintOptions large{0,
                               {{"vocabulary", "256"},
                                {"context", "256"},
                                {"width", "384"},
                                {"layers", "6"},
                                {"heads", "6"},
                                {"hidden", "1536"},
                                {"tied", "false"}}};
  EXPECT_EQ(parameters(zoo("char_gpt", large)),
            (256 + 256 + 256) * 384 + 6 * (12 * 384 * 384 + 13 * 384) + 2 * 384);
}

TEST(ZooNames, AreThoseOfPyTorch) {
  std::set<std::string> names;
  const Graph g = zoo("resnet18");
  for (ValueId v : g.constants()) names.insert(g.value(v).name);
  for (const char* name :
       {"conv1.weight", "bn1.running_mean", "layer1.0.conv1.weight", "layer2.0.downsample.0.weight",
        "layer2.0.downsample.1.running_var", "layer4.1.bn2.bias", "fc.weight", "fc.bias"})
    EXPECT_TRUE(names.contains(name)) << name;
  EXPECT_FALSE(names.contains("layer1.0.downsample.0.weight"));
}

TEST(ZooValues, DependOnSeedAndNameAlone) {
  const Graph a = zoo("resnet8"), b = zoo("resnet8"), c = zoo("resnet8", {.seed = 1});
  const Graph wide = zoo("resnet8", {.variables = {{"classes", "20"}}});
  const auto weight = [](const Graph& g) {
    return *g.value(g.find("layer2.conv1.weight")).constant;
  };
  EXPECT_TRUE(weight(a).identical(weight(b)));
  EXPECT_FALSE(weight(a).identical(weight(c)));
  EXPECT_TRUE(weight(a).identical(weight(wide)));
  EXPECT_EQ(wide.value(wide.outputs()[0]).tensor().dims[1].value(), 20);
  // He et al. 2015: variance 2 / fan_out, here 32 * 9.
  double square = 0;
  for (int64_t i = 0; i < weight(a).size(); ++i) square += weight(a).at(i) * weight(a).at(i);
  EXPECT_NEAR(square / double(weight(a).size()), 2.0 / 288, 2.0 / 288 * 0.1);
}

}  // namespace
}  // namespace espalier
