// A definition and a file of weights are a network.
#include "recipe/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/error.h"
#include "base/files.h"
#include "formats/safetensors.h"
#include "ir/interpret.h"
#include "recipe/blueprint.h"
#include "recipe/recipe.h"
#include "tests/support/run_op.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::user_error;

const std::string kDefinition =
    "espalier: 1\nname: net\ninput: {shape: [N, 1, 4, 4]}\nbody:\n"
    "  - conv: {name: conv, out: 2, kernel: 3, padding: 1, bias: false}\n"
    "  - batch_norm: {name: bn}\n"
    "  - flatten\n"
    "  - linear: {name: fc, out: 3}\n";

class Weights : public ::testing::Test {
 protected:
  Weights()
      : folder(fs::path(::testing::TempDir()) /
               ("espalier_weights_" + std::to_string(::getpid()))) {
    fs::create_directories(folder);
    write_file_atomic(folder / "net.yaml", kDefinition);
    net = build(1);
  }
  ~Weights() override { fs::remove_all(folder); }
  static Graph build(uint64_t seed) {
    return build_blueprint(Yaml::parse(kDefinition, "net.yaml"), {.seed = seed, .variables = {}});
  }
  static Tensor answer(const Graph& g) {
    Tensor x(DType::f32, {1, 1, 4, 4});
    for (int64_t i = 0; i < 16; ++i) x.mutable_data<float>()[i] = float(i % 5) - 2;
    return interpret(g, std::vector<Tensor>{x})[0];
  }
  fs::path path(const std::string& name) const { return folder / name; }
  /// The network's weights, changed.
  void write_changed(const std::function<void(TensorFile&)>& change) {
    save_weights(net, path("w.safetensors"));
    TensorFile file = load_safetensors(path("w.safetensors"));
    change(file);
    save_safetensors(file, path("changed.safetensors"));
  }
  fs::path folder;
  Graph net;
};

TEST_F(Weights, MakeTheSameNetworkOfAnother) {
  save_weights(net, path("w.safetensors"));
  const TensorFile file = load_safetensors(path("w.safetensors"));
  EXPECT_TRUE(file.tensors.contains("conv.weight"));
  EXPECT_TRUE(file.tensors.contains("bn.running_mean"));
  EXPECT_EQ(file.tensors.size(), 7u);
  Graph other = build(2);
  EXPECT_FALSE(answer(other).identical(answer(net)));
  load_weights(other, path("w.safetensors"));
  EXPECT_TRUE(answer(other).identical(answer(net)));
}

TEST_F(Weights, OfOtherWidthsAreConverted) {
  write_changed([](TensorFile& f) {
    f.tensors["fc.weight"] = f.tensors["fc.weight"].cast(DType::bf16);
    f.tensors["bn.num_batches_tracked"] = Tensor::scalar<int64_t>(7);
  });
  Graph other = build(2);
  load_weights(other, path("changed.safetensors"));
  EXPECT_EQ(other.value(other.find("fc.weight")).constant->dtype(), DType::f32);
}

TEST_F(Weights, EveryMismatchIsToldAtOnce) {
  write_changed([](TensorFile& f) {
    f.tensors["head.weight"] = f.tensors["fc.weight"];
    f.tensors.erase("fc.weight");
    f.tensors.erase("fc.bias");
    f.tensors["conv.weight"] = Tensor(DType::f32, {4, 1, 3, 3});
    f.tensors["bn.weight"] = Tensor(DType::i32, {2});
  });
  Graph other = build(2);
  const Tensor before = answer(other);
  const std::string error = user_error([&] { load_weights(other, path("changed.safetensors")); });
  EXPECT_THAT(error, AllOf(HasSubstr("changed.safetensors: does not fit the network net"),
                           HasSubstr("the file lacks: 'fc.weight', 'fc.bias'"),
                           HasSubstr("the network has no: 'head.weight'"),
                           HasSubstr("'conv.weight' is f32[2,1,3,3], the file holds f32[4,1,3,3]"),
                           HasSubstr("'bn.weight' is f32[2], the file holds i32[2]")));
  EXPECT_TRUE(answer(other).identical(before)) << "nothing is taken from a file that does not fit";
}

TEST_F(Weights, AreNamedInRecipes) {
  save_weights(net, path("w.safetensors"));
  const auto model = [&](const std::string& text) {
    return read_model(Yaml::parse(text, path("recipe.yaml").string()));
  };
  const ModelPart part = model("{definition: net.yaml, weights: w.safetensors}");
  EXPECT_FALSE(part.is_untrained());
  EXPECT_TRUE(model("{definition: net.yaml}").is_untrained());
  EXPECT_TRUE(answer(part.build(5, nullptr)).identical(answer(net)));
  EXPECT_THAT(user_error([&] { model("{definition: net.yaml, weights: w.npz}"); }),
              AllOf(HasSubstr("recipe.yaml:1"), HasSubstr("is no file of weights by its name")));
  EXPECT_THAT(user_error([&] {
                model("{definition: net.yaml, weights: none.safetensors}").build(0, nullptr);
              }),
              HasSubstr("none.safetensors: cannot be read"));
}

TEST_F(Weights, ANetworkWithoutAnyIsRefused) {
  Graph g;
  g.add_output(g.add_input("x", TensorType(DType::f32, Shape{1})));
  EXPECT_THAT(user_error([&] { save_weights(g, path("w.safetensors")); }),
              HasSubstr("has no parameters to write"));
}

}  // namespace
}  // namespace espalier
