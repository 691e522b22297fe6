// Whatever is wrong with a file is one clear error.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/rng.h"
#include "onnx/export.h"
#include "tests/onnx/models.h"
#include "tests/support/samples.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
using testing::OnnxModel;

OnnxModel sum_model() {
  OnnxModel m;
  m.input("x", {2, 3}).constant("w", Tensor::from<float>({3}, {1, 2, 3}));
  return m.node("Add", {"x", "w"}, {"y"}, {}, "sum").output("y");
}

UserError error_of(const std::string& bytes, const std::filesystem::path& folder = {}) {
  try {
    import_onnx_bytes(bytes, "net.onnx", folder);
  } catch (const UserError& e) {
    return e;
  }
  ADD_FAILURE() << "the model was accepted";
  return bad_input("", "");
}

void expect_bad(const OnnxModel& m, const std::string& text) {
  const UserError e = error_of(m.bytes());
  EXPECT_EQ(e.code(), ExitCode::kBadInput) << e.what();
  EXPECT_THAT(e.what(), HasSubstr(text));
  EXPECT_THAT(e.what(), HasSubstr("net.onnx"));
}

void expect_unsupported(const OnnxModel& m, const std::string& text) {
  const UserError e = error_of(m.bytes());
  EXPECT_EQ(e.code(), ExitCode::kUnsupported) << e.what();
  EXPECT_THAT(e.what(), HasSubstr(text));
}

TEST(MalformedOnnx, TheModelItselfIsFine) { EXPECT_EQ(sum_model().import().order().size(), 1u); }

TEST(MalformedOnnx, ListsHaveAnEnd) {
  OnnxModel m;
  m.input("x", {2, 3}).input("shape", {int64_t{1} << 36}, 7);  // i64
  m.node("Reshape", {"x", "shape"}, {"y"}).output("y");
  expect_bad(m, "lists 68719476736 numbers, 65536 are the most");
}

TEST(MalformedOnnx, TruncatedAtAnyByteIsAnErrorAndNeverACrash) {
  const std::string whole = sum_model().bytes();
  for (size_t n = 0; n < whole.size(); ++n) {
    try {
      import_onnx_bytes(std::string_view(whole).substr(0, n), "net.onnx");
    } catch (const UserError& e) {
      EXPECT_THAT(e.what(), HasSubstr("net.onnx"));
    }
  }
  EXPECT_THAT(error_of(whole.substr(0, whole.size() / 2)).what(), HasSubstr("cut short"));
  EXPECT_THAT(error_of("").what(), HasSubstr("holds no graph"));
  EXPECT_THAT(error_of("<!DOCTYPE html>").what(), HasSubstr("is no ONNX model"));
}

TEST(MalformedOnnx, DamagedBytesAreNeverACrash) {
  const std::string whole = sum_model().bytes();
  const Rng rng(3, 1);
  for (uint64_t k = 0; k < 3000; ++k) {
    std::string bytes = whole;
    for (uint64_t i = 0; i <= k % 3; ++i)
      bytes[size_t(rng.uniform(6 * k + i, 0, double(bytes.size()) - 0.5))] =
          char(rng.uniform(6 * k + 3 + i, 0, 256));
    try {
      import_onnx_bytes(bytes, "net.onnx");
    } catch (const UserError&) {
    }
  }
}

// Every room meets attributes, shapes and types it does not expect.
TEST(MalformedOnnx, DamagedModelsOfEveryRoomAreNeverACrash) {
  for (const auto& c : testing::all_sample_cases()) {
    std::string whole;
    try {
      whole = export_onnx_bytes(testing::sample_graph(c, testing::sample_operands(c), nullptr));
    } catch (const UserError&) {
      continue;
    }
    const Rng rng(5, stream_of(c.name()));
    for (uint64_t k = 0; k < 60; ++k) {
      std::string bytes = whole;
      for (uint64_t i = 0; i <= k % 2; ++i)
        bytes[size_t(rng.uniform(4 * k + i, 0, double(bytes.size()) - 0.5))] =
            char(rng.uniform(4 * k + 2 + i, 0, k % 3 ? 16 : 256));
      try {
        import_onnx_bytes(bytes, "net.onnx");
      } catch (const UserError&) {
      } catch (const std::exception& e) {
        ADD_FAILURE() << c.name() << " damaged " << k << ": " << e.what();
      }
    }
  }
}

TEST(MalformedOnnx, UnsupportedOperatorsAreListedAtOnceWithTheirNodes) {
  OnnxModel m = sum_model();
  m.node("Frobnicate", {"y"}, {"a"}, {}, "first").node("Frobnicate", {"a"}, {"b"}, {}, "second");
  m.node("Quux", {"b"}, {"c"});
  m.graph().mutable_node(3)->set_domain("com.example");
  const UserError e = error_of(m.bytes());
  EXPECT_EQ(e.code(), ExitCode::kUnsupported);
  EXPECT_THAT(e.what(), HasSubstr("Frobnicate ('first', 'second'); com.example.Quux ('c')"));
}

TEST(MalformedOnnx, NamesMustFitTogether) {
  OnnxModel dangling = sum_model();
  dangling.graph().mutable_node(0)->set_input(1, "nowhere");
  expect_bad(dangling, "Add 'sum': reads 'nowhere', which nothing gives");

  OnnxModel twice = sum_model();
  twice.node("Add", {"x", "x"}, {"y"}, {}, "again");
  expect_bad(twice, "Add 'again': gives 'y', which Add 'sum' gives too");

  OnnxModel overwrites = sum_model();
  overwrites.node("Add", {"x", "x"}, {"w"}, {}, "again");
  expect_bad(overwrites, "gives 'w', which is an input or initialiser");

  OnnxModel initialisers = sum_model();
  initialisers.constant("w", Tensor::from<float>({1}, {0}));
  expect_bad(initialisers, "two initialisers are named 'w'");

  OnnxModel inputs = sum_model();
  inputs.input("x", {1});
  expect_bad(inputs, "two inputs are named 'x'");

  OnnxModel outputs = sum_model();
  outputs.output("z");
  expect_bad(outputs, "output 'z': is given by nothing");

  OnnxModel none = sum_model();
  none.graph().clear_output();
  expect_bad(none, "its graph has no outputs");
}

TEST(MalformedOnnx, ACycleIsNamed) {
  OnnxModel m;
  m.input("x", {2}).node("Add", {"x", "b"}, {"a"}, {}, "one");
  m.node("Add", {"a", "x"}, {"b"}, {}, "two").output("b");
  expect_bad(m, "Add 'one': lies on a cycle");
}

TEST(MalformedOnnx, NegativeDimensionsAreRefused) {
  OnnxModel input;
  input.input("x", {2, -3}).node("Add", {"x", "x"}, {"y"}).output("y");
  expect_bad(input, "'x': has the negative dimension -3");

  OnnxModel initialiser = sum_model();
  initialiser.graph().mutable_initializer(0)->set_dims(0, -3);
  expect_bad(initialiser, "initialiser 'w': has the negative dimension -3");
}

TEST(MalformedOnnx, InitialisersMustHoldWhatTheySay) {
  OnnxModel bytes = sum_model();
  bytes.graph().mutable_initializer(0)->mutable_raw_data()->pop_back();
  expect_bad(bytes, "initialiser 'w': is f32[3] but holds 11 bytes");

  OnnxModel elements = sum_model();
  auto& t = *elements.graph().mutable_initializer(0);
  t.clear_raw_data();
  t.add_float_data(1);
  expect_bad(elements, "initialiser 'w': is f32[3] but holds 1 elements");

  OnnxModel huge = sum_model();
  huge.graph().mutable_initializer(0)->set_dims(0, int64_t{1} << 62);
  expect_bad(huge, "more elements than can be counted");

  OnnxModel large = sum_model();
  large.graph().mutable_initializer(0)->set_dims(0, int64_t{1} << 40);
  expect_bad(large, "but holds 12 bytes");

  OnnxModel complex = sum_model();
  complex.graph().mutable_initializer(0)->set_data_type(onnx::TensorProto::COMPLEX64);
  expect_unsupported(complex, "complex numbers are not supported");

  OnnxModel strange = sum_model();
  strange.graph().mutable_initializer(0)->set_data_type(77);
  expect_unsupported(strange, "element type 77 is not supported");
}

TEST(MalformedOnnx, ElementTypesMustFit) {
  OnnxModel m = sum_model();
  m.graph().mutable_input(0)->mutable_type()->mutable_tensor_type()->set_elem_type(
      onnx::TensorProto::INT64);
  const UserError e = error_of(m.bytes());
  EXPECT_EQ(e.code(), ExitCode::kBadInput);
  EXPECT_THAT(e.what(), HasSubstr("Add 'sum'"));

  OnnxModel declared = sum_model();
  declared.graph().mutable_output(0)->mutable_type()->mutable_tensor_type()->set_elem_type(
      onnx::TensorProto::INT64);
  expect_bad(declared, "output 'y': is declared i64, the nodes give f32[2,3]");
}

TEST(MalformedOnnx, AttributesMustFit) {
  OnnxModel unknown = sum_model();
  unknown.graph().clear_node();
  unknown.node("LeakyRelu", {"x"}, {"y"}, {{"slope", 0.5f}}, "act");
  expect_bad(unknown, "slope");

  OnnxModel kind = sum_model();
  kind.graph().clear_node();
  kind.node("LeakyRelu", {"x"}, {"y"}, {{"alpha", std::string("much")}}, "act");
  expect_bad(kind, "alpha");

  OnnxModel twice = kind;
  encode_attribute("alpha", 1.0f, *twice.graph().mutable_node(0)->add_attribute());
  expect_bad(twice, "attribute 'alpha' stands there twice");
}

TEST(MalformedOnnx, OpsetsOutOfReach) {
  OnnxModel newer(99);
  newer.input("x", {1}).node("Add", {"x", "x"}, {"y"}).output("y");
  expect_unsupported(newer, "is written in opset 99");

  OnnxModel none = sum_model();
  none.proto.clear_opset_import();
  expect_bad(none, "declares no opset");

  OnnxModel negative(-3);
  negative.input("x", {1}).node("Add", {"x", "x"}, {"y"}).output("y");
  expect_bad(negative, "declares opset -3");
}

TEST(MalformedOnnx, ScanOfOldNeedsOperands) {
  OnnxModel m(8);
  m.node("Scan", {}, {"y"}, {{"num_scan_inputs", int64_t{1}}}).output("y");
  auto& body = *m.graph().mutable_node(0)->add_attribute();
  body.set_name("body");
  body.set_type(onnx::AttributeProto::GRAPH);
  encode_tensor(Tensor::scalar(1.0f), "one", *body.mutable_g()->add_initializer());
  body.mutable_g()->add_output()->set_name("one");
  expect_bad(m, "has no operands");
}

TEST(MalformedOnnx, OperatorsOfOldNeedTheirOperand) {
  const auto model = [](int64_t opset, const std::string& op, const AttributeMap& attributes) {
    OnnxModel m(opset);
    return m.node(op, {}, {"y"}, attributes).output("y");
  };
  const std::vector<int64_t> pads = {1, 1};
  expect_bad(model(2, "Pad", {{"pads", pads}, {"value", 1.0f}}), "operand 0 is missing");
  expect_bad(model(6, "Clip", {{"min", 0.0f}}), "operand 0 is missing");
  expect_bad(model(18, "ReduceMean", {{"noop_with_empty_axes", int64_t{1}}}),
             "operand 0 is missing");
}

TEST(MalformedOnnx, StringsAreNoNumbers) {
  OnnxModel m(5);
  m.input("x", {2}).constant("n", Tensor::from<std::string>({1}, {"2"}));
  m.constant("axis", Tensor::scalar<int64_t>(0));
  m.node("Tile", {"x", "n", "axis"}, {"y"}).output("y");
  expect_bad(m, "is given the count as strings, numbers are needed");
}

TEST(MalformedOnnx, InputsWithoutShapeMayBeGivenOne) {
  OnnxModel m = sum_model();
  m.graph().mutable_input(0)->mutable_type()->mutable_tensor_type()->clear_shape();
  expect_unsupported(m, "'x': has no shape");
  ImportOptions options;
  options.shapes["x"] = {5, 3};
  const Graph g = import_onnx_bytes(m.bytes(), "net.onnx", {}, options);
  EXPECT_EQ(to_string(g.value(g.outputs()[0]).type), "f32[5,3]");
  options.shapes = {{"z", {1}}};
  EXPECT_THROW(import_onnx_bytes(m.bytes(), "net.onnx", {}, options), UserError);
}

class ExternalDataTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder = std::filesystem::temp_directory_path() /
             ("espalier_external_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder / "model");
    std::ofstream(folder / "model" / "w.bin", std::ios::binary) << std::string(20, '\0');
    std::ofstream(folder / "secret.bin", std::ios::binary) << std::string(20, '\0');
  }
  void TearDown() override { std::filesystem::remove_all(folder); }

  static OnnxModel model(const std::string& location, const std::string& offset,
                         const std::string& length) {
    OnnxModel m = sum_model();
    auto& t = *m.graph().mutable_initializer(0);
    t.clear_raw_data();
    t.set_data_location(onnx::TensorProto::EXTERNAL);
    const auto entry = [&](const char* key, const std::string& value) {
      auto& e = *t.add_external_data();
      e.set_key(key);
      e.set_value(value);
    };
    entry("location", location);
    if (!offset.empty()) entry("offset", offset);
    if (!length.empty()) entry("length", length);
    return m;
  }
  std::string problem(const OnnxModel& m) const {
    return error_of(m.bytes(), folder / "model").what();
  }
  std::filesystem::path folder;
};

TEST_F(ExternalDataTest, IsRead) {
  const Graph g =
      import_onnx_bytes(model("w.bin", "8", "12").bytes(), "net.onnx", folder / "model");
  EXPECT_EQ(g.value(g.find("w")).constant->at(2), 0);
}

TEST_F(ExternalDataTest, StaysInItsFolder) {
  EXPECT_THAT(problem(model("../secret.bin", "", "")), HasSubstr("outside the model's folder"));
  EXPECT_THAT(problem(model((folder / "secret.bin").string(), "", "")),
              HasSubstr("outside the model's folder"));
  std::filesystem::create_symlink(folder / "secret.bin", folder / "model" / "link.bin");
  EXPECT_THAT(problem(model("link.bin", "", "")), HasSubstr("outside the model's folder"));
}

TEST_F(ExternalDataTest, MustBeThereAndLongEnough) {
  EXPECT_THAT(problem(model("gone.bin", "", "")), HasSubstr("'gone.bin' is missing"));
  EXPECT_THAT(problem(model("w.bin", "12", "")), HasSubstr("needs bytes 12 to 24 of w.bin"));
  EXPECT_THAT(problem(model("w.bin", "", "16")), HasSubstr("but holds 16 bytes of external data"));
  EXPECT_THAT(problem(model("w.bin", "-4", "")), HasSubstr("the offset '-4'"));
  EXPECT_THAT(problem(model("w.bin", "99999999999999999999", "")), HasSubstr("the offset"));
}

// Two elements to a byte: the bytes must be as many as the extents say.
TEST(MalformedOnnx, FourBitsOfAnotherSize) {
  const auto model = [](const Shape& shape, const std::string& bytes) {
    OnnxModel m(21);
    m.input("x", {2}).constant("s", Tensor::scalar(1.0f));
    auto& t = *m.graph().add_initializer();
    t.set_name("w");
    t.set_data_type(21);
    for (int64_t d : shape) t.add_dims(d);
    t.set_raw_data(bytes);
    return m.node("DequantizeLinear", {"w", "s"}, {"y"}).output("y");
  };
  EXPECT_EQ(model({3}, "ab").import().outputs().size(), 1u);
  expect_bad(model({3}, "abc"), "initialiser 'w': is uint4[3] but holds 3 bytes");
  expect_bad(model({5}, "ab"), "is uint4[5] but holds 2 bytes");
}

}  // namespace
}  // namespace espalier
