// ONNX Runtime's own operators become standard ones: against plain formulas, with open extents, and
// refused clearly where they say what has no place here. tests/peer compares numbers with ONNX
// Runtime's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "ir/derive.h"
#include "ir/interpret.h"
#include "ir/room.h"
#include "tests/onnx/models.h"
#include "tests/support/samples.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
using testing::OnnxModel;
using testing::wave;

constexpr int kHeads = 2;

OnnxModel attention_model(const AttributeMap& more = {}) {
  OnnxModel m;
  m.input("x", {2, 3, 4}).constant("w", wave({4, 12}, 2)).constant("b", wave({12}, 3));
  AttributeMap attributes = {{"num_heads", int64_t{kHeads}}};
  attributes.insert(more.begin(), more.end());
  m.node("com.microsoft.Attention", {"x", "w", "b"}, {"y"}, attributes, "attend").output("y");
  return m;
}

/// Attention by plain loops: x [2,3,4], heads of 2.
std::vector<double> attention_by_hand(const Tensor& x, bool causal) {
  const Tensor w = wave({4, 12}, 2), b = wave({12}, 3);
  std::vector<double> y(2 * 3 * 4, 0);
  const auto projected = [&](int n, int s, int column) {
    double sum = b.at(column);
    for (int i = 0; i < 4; ++i) sum += x.at((n * 3 + s) * 4 + i) * w.at(i * 12 + column);
    return sum;
  };
  for (int n = 0; n < 2; ++n)
    for (int h = 0; h < kHeads; ++h)
      for (int s = 0; s < 3; ++s) {
        double share[3], total = 0;
        for (int t = 0; t < 3; ++t) {
          double score = 0;
          for (int i = 0; i < 2; ++i)
            score += projected(n, s, h * 2 + i) * projected(n, t, 4 + h * 2 + i);
          share[t] = causal && t > s ? 0 : std::exp(score / std::sqrt(2.0));
          total += share[t];
        }
        for (int i = 0; i < 2; ++i)
          for (int t = 0; t < 3; ++t)
            y[size_t((n * 3 + s) * 4 + h * 2 + i)] +=
                share[t] / total * projected(n, t, 8 + h * 2 + i);
      }
  return y;
}

void expect_near(const Tensor& got, const std::vector<double>& want) {
  ASSERT_EQ(got.size(), int64_t(want.size()));
  for (int64_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got.at(i), want[size_t(i)], 1e-5) << i;
}

TEST(Microsoft, AttentionIsTheFormula) {
  const Tensor x = wave({2, 3, 4}, 1);
  expect_near(interpret(attention_model().import(), std::vector<Tensor>{x}).at(0),
              attention_by_hand(x, false));
  const OnnxModel causal = attention_model({{"unidirectional", int64_t{1}}});
  expect_near(interpret(causal.import(), std::vector<Tensor>{x}).at(0), attention_by_hand(x, true));
}

TEST(Microsoft, AMaskOfEveryPositionIsCutToTheseQueries) {
  Tensor mask(DType::i32, {1, 1, 5, 5});
  for (int64_t i = 0; i < 25; ++i) mask.mutable_data<int32_t>()[i] = i % 5 <= i / 5;
  OnnxModel m = attention_model();
  m.graph().mutable_node(0)->add_input("m");
  m.constant("m", mask);
  const Tensor x = wave({2, 3, 4}, 1);
  expect_near(interpret(m.import(), std::vector<Tensor>{x}).at(0), attention_by_hand(x, true));
}

TEST(Microsoft, WhatIsFusedBecomesStandard) {
  const Graph g = attention_model().import();
  int products = 0;
  for (NodeId id : g.order()) {
    EXPECT_EQ(g.node(id).room->op.domain, "") << g.node(id).room->full_name();
    EXPECT_EQ(g.node(id).name, "attend");
    products += g.node(id).room->op.name == "MatMul";
  }
  EXPECT_EQ(products, 3);
  EXPECT_EQ(g.value(g.find("w")).role, Role::kParameter);
  // 2 x 3 rows of 4 by 12, then 3 by 3 scores of 2 twice for each of 4 heads.
  EXPECT_EQ(cost_of(g).macs, 2 * 3 * 4 * 12 + 4 * (3 * 3 * 2) * 2);
}

/// Extents of an input as names.
void open(OnnxModel& m, int input, const std::vector<std::string>& names) {
  auto& shape =
      *m.graph().mutable_input(input)->mutable_type()->mutable_tensor_type()->mutable_shape();
  for (size_t i = 0; i < names.size(); ++i)
    if (!names[i].empty()) shape.mutable_dim(int(i))->set_dim_param(names[i]);
}

TEST(Microsoft, OpenExtentsStayOpen) {
  OnnxModel m;
  m.input("x", {1, 1, 4}).input("mask", {1, 1}, onnx::TensorProto::INT32);
  open(m, 0, {"batch", "sequence"});
  open(m, 1, {"batch", "sequence"});
  m.constant("w", wave({4, 12}, 2)).constant("b", wave({12}, 3));
  m.node("com.microsoft.Attention", {"x", "w", "b", "mask"}, {"y", "present"},
         {{"num_heads", int64_t{kHeads}}, {"unidirectional", int64_t{1}}});
  m.output("y").output("present");
  const Graph g = m.import();
  const Tensor x = wave({2, 3, 4}, 1);
  const Tensor ones = Tensor::from<int32_t>({2, 3}, {1, 1, 1, 1, 1, 1});
  const auto y = interpret(g, std::vector<Tensor>{x, ones});
  expect_near(y.at(0), attention_by_hand(x, true));
  EXPECT_EQ(y.at(1).shape(), (Shape{2, 2, kHeads, 3, 2}));
}

TEST(Microsoft, EmbeddingOfOpenLength) {
  OnnxModel m;
  m.input("ids", {1, 1}, onnx::TensorProto::INT32);
  open(m, 0, {"batch", "sequence"});
  m.constant("words", wave({10, 4}, 1)).constant("places", wave({5, 4}, 2));
  m.constant("gamma", wave({4}, 3)).constant("beta", wave({4}, 4));
  m.node("com.microsoft.EmbedLayerNormalization",
         {"ids", "", "words", "places", "", "gamma", "beta"}, {"y"});
  m.output("y");
  const Tensor ids = Tensor::from<int32_t>({1, 3}, {4, 9, 0});
  const auto y = interpret(m.import(), std::vector<Tensor>{ids}).at(0);
  ASSERT_EQ(y.shape(), (Shape{1, 3, 4}));
  const Tensor words = wave({10, 4}, 1), places = wave({5, 4}, 2), gamma = wave({4}, 3);
  for (int s = 0; s < 3; ++s) {
    double row[4], mean = 0, var = 0;
    for (int i = 0; i < 4; ++i) {
      row[i] = words.at(ids.int_at(s) * 4 + i) + places.at(s * 4 + i);
      mean += row[i] / 4;
    }
    for (double v : row) var += (v - mean) * (v - mean) / 4;
    for (int i = 0; i < 4; ++i)
      EXPECT_NEAR(y.at(s * 4 + i),
                  (row[i] - mean) / std::sqrt(var) * gamma.at(i) + wave({4}, 4).at(i), 1e-5);
  }
}

TEST(Microsoft, TablesOfAnglesAreNoWeights) {
  OnnxModel m;
  m.input("x", {1, 2, 4}).input("at", {1, 2}, onnx::TensorProto::INT64);
  m.constant("cos", wave({8, 2}, 1)).constant("sin", wave({8, 2}, 2));
  m.node("com.microsoft.RotaryEmbedding", {"x", "at", "cos", "sin"}, {"y"}).output("y");
  const Graph g = m.import();
  EXPECT_EQ(g.value(g.find("cos")).role, Role::kNone);
  EXPECT_EQ(g.value(g.find("sin")).role, Role::kNone);
}

TEST(Microsoft, MasksAreNoWeights) {
  const Graph g = attention_model({{"unidirectional", int64_t{1}}}).import();
  int parameters = 0;
  for (ValueId v : g.constants()) parameters += g.value(v).role == Role::kParameter;
  EXPECT_EQ(parameters, 2);  // weight and bias
}

TEST(Microsoft, MasksOfLongSequencesAreNotStored) {
  OnnxModel m;
  m.input("x", {1, 2100, 4}).constant("w", wave({4, 12}, 2));
  m.node("com.microsoft.Attention", {"x", "w"}, {"y"},
         {{"num_heads", int64_t{kHeads}}, {"unidirectional", int64_t{1}}});
  const Graph g = m.output("y").import();
  EXPECT_EQ(to_string(g.value(g.outputs()[0]).type), "f32[1,2100,4]");
  for (ValueId v : g.constants()) EXPECT_LE(g.value(v).constant->size(), 2100);
}

TEST(Microsoft, ParametersOfAnActivationAreKnownByName) {
  OnnxModel m;
  m.input("x", {1, 1}).constant("w", Tensor::from<float>({1, 1}, {1}));
  m.node("com.microsoft.FusedGemm", {"x", "w"}, {"y"},
         {{"activation", std::string("HardSigmoid")}, {"activation_beta", 0.25f}});
  const Graph g = m.output("y").import();
  // alpha keeps its default, 0.2
  EXPECT_NEAR(interpret(g, std::vector<Tensor>{Tensor::from<float>({1, 1}, {1})}).at(0).at(0), 0.45,
              1e-6);
}

TEST(Microsoft, FilesMayDeclareThisDomainAlone) {
  OnnxModel m;
  m.proto.clear_opset_import();
  m.input("x", {2}).node("com.microsoft.Gelu", {"x"}, {"y"}).output("y");
  EXPECT_EQ(m.import().order().size(), 1u);
}

TEST(Microsoft, WeightsOfFewBitsStayPacked) {
  OnnxModel m;
  m.input("x", {2, 32}).constant("b", testing::steps({3, 2, 8}, 1, 0, 255, DType::u8));
  m.constant("s", wave({6}, 2));
  m.node("com.microsoft.MatMulNBits", {"x", "b", "s"}, {"y"},
         {{"N", int64_t{3}}, {"K", int64_t{32}}, {"block_size", int64_t{16}}});
  const Graph g = m.output("y").import();
  ASSERT_EQ(g.order().size(), 1u);
  EXPECT_EQ(g.node(g.order()[0]).room->full_name(), "com.microsoft.MatMulNBits");
  EXPECT_EQ(g.value(g.find("s")).role, Role::kNone);
  EXPECT_EQ(g.value(g.find("b")).constant->bytes(), 48u);
  EXPECT_EQ(cost_of(g).macs, 2 * 32 * 3);
}

// ---- refusals -----------------------------------------------------------------------------------

std::string problem(const OnnxModel& m, ExitCode code) {
  try {
    m.import();
  } catch (const UserError& e) {
    EXPECT_EQ(e.code(), code) << e.what();
    EXPECT_THAT(e.what(), HasSubstr("net.onnx"));
    return e.what();
  }
  ADD_FAILURE() << "the model was accepted";
  return "";
}
std::string malformed(const OnnxModel& m) { return problem(m, ExitCode::kBadInput); }
std::string refused(const OnnxModel& m) { return problem(m, ExitCode::kUnsupported); }

TEST(MicrosoftMalformed, Attention) {
  EXPECT_THAT(malformed(attention_model({{"hidden", int64_t{1}}})),
              HasSubstr("attribute 'hidden' is not known"));
  EXPECT_THAT(malformed(attention_model({{"qkv_hidden_sizes", std::vector<int64_t>{4, 4, 5}}})),
              HasSubstr("do not make up the 12 columns"));
  EXPECT_THAT(refused(attention_model({{"do_rotary", int64_t{1}}})), HasSubstr("rotates"));
  EXPECT_THAT(refused(attention_model({{"past_present_share_buffer", int64_t{1}}})),
              HasSubstr("shares the buffer"));
  OnnxModel heads;
  heads.input("x", {2, 3, 4}).constant("w", wave({4, 12}, 2)).constant("b", wave({12}, 3));
  heads.node("com.microsoft.Attention", {"x", "w", "b"}, {"y"}, {{"num_heads", int64_t{3}}}, "a");
  EXPECT_THAT(malformed(heads.output("y")), HasSubstr("Attention 'a': 3 heads do not divide 4"));
  OnnxModel none;
  none.input("x", {2, 3, 4}).constant("w", wave({4, 12}, 2));
  none.node("com.microsoft.Attention", {"x", "w"}, {"y"}).output("y");
  EXPECT_THAT(malformed(none), HasSubstr("num_heads is 0"));
  const AttributeMap many = {{"num_heads", int64_t{1} << 40}};
  OnnxModel crowd;
  crowd.input("x", {2, 3, 4}).constant("w", wave({4, 12}, 2));
  crowd.node("com.microsoft.Attention", {"x", "w"}, {"y"}, many).output("y");
  EXPECT_THAT(malformed(crowd), HasSubstr("num_heads is 1099511627776"));
  OnnxModel sequence;
  sequence.input("x", {2, 3, 4}).constant("w", wave({4, 12}, 2));
  sequence.node("SequenceConstruct", {"x"}, {"s"});
  sequence.node("com.microsoft.Attention", {"s", "w"}, {"y"}, {{"num_heads", int64_t{2}}});
  EXPECT_THAT(refused(sequence.output("y")), HasSubstr("operand 0 is seq(f32"));
  OnnxModel flat;
  flat.input("x", {2, 4}).constant("w", wave({4, 12}, 2));
  flat.node("com.microsoft.Attention", {"x", "w"}, {"y"}, {{"num_heads", int64_t{2}}}).output("y");
  EXPECT_THAT(malformed(flat), HasSubstr("[batch, sequence, size]"));
  OnnxModel mask = attention_model();
  mask.graph().mutable_node(0)->add_input("m");
  mask.constant("m", Tensor::from<int32_t>({5}, {1, 1, 1, 1, 1}));
  EXPECT_THAT(refused(mask), HasSubstr("is of a form that is not supported"));
  OnnxModel floats = attention_model();
  floats.graph().mutable_node(0)->add_input("m");
  floats.constant("m", wave({2, 3}, 1));
  EXPECT_THAT(malformed(floats), HasSubstr("integers are needed"));
}

TEST(MicrosoftMalformed, QuantisedAttention) {
  const auto model = [](const AttributeMap& more) {
    OnnxModel m;
    m.input("x", {2, 3, 4}, onnx::TensorProto::UINT8).constant("b", wave({12}, 3));
    m.constant("w", testing::steps({4, 12}, 1, 0, 255, DType::u8));
    m.constant("s", Tensor::scalar(0.5f));
    AttributeMap attributes = {{"num_heads", int64_t{kHeads}}};
    attributes.insert(more.begin(), more.end());
    return m.node("com.microsoft.QAttention", {"x", "w", "b", "s", "s"}, {"y"}, attributes)
        .output("y");
  };
  EXPECT_EQ(model({}).import().outputs().size(), 1u);
  EXPECT_THAT(refused(model({{"do_rotary", int64_t{1}}})), HasSubstr("rotates"));
  EXPECT_THAT(refused(model({{"past_present_share_buffer", int64_t{1}}})),
              HasSubstr("shares the buffer"));
}

TEST(MicrosoftMalformed, MultiHeadAttention) {
  const auto model = [](const std::vector<std::string>& operands) {
    OnnxModel m;
    m.input("q", {1, 2, 4}).input("k", {1, 3, 4}).input("v", {1, 3, 4});
    m.constant("bias", wave({10}, 1)).constant("past", wave({1, 2, 2, 2}, 2));
    return m.node("com.microsoft.MultiHeadAttention", operands, {"y"}, {{"num_heads", int64_t{2}}})
        .output("y");
  };
  EXPECT_THAT(malformed(model({"q", "k"})), HasSubstr("operand 2 is missing"));
  EXPECT_THAT(malformed(model({"q", "k", "v", "bias"})), HasSubstr("12 numbers are needed"));
  EXPECT_THAT(malformed(model({"q", "k", "v", "", "", "", "past"})),
              HasSubstr("a past of keys or of values alone"));
}

TEST(MicrosoftMalformed, GroupQueryAttention) {
  const auto model = [](const std::vector<std::string>& operands, const AttributeMap& more = {}) {
    OnnxModel m;
    m.input("q", {1, 2, 8}).input("k", {1, 2, 4}).input("v", {1, 2, 4});
    m.constant("length", Tensor::from<int32_t>({1}, {1})).constant("past", wave({1, 2, 2, 2}, 2));
    m.constant("total", Tensor::scalar<int32_t>(2));
    AttributeMap attributes = {{"num_heads", int64_t{4}}, {"kv_num_heads", int64_t{2}}};
    for (const auto& [key, value] : more) attributes[key] = value;
    return m.node("com.microsoft.GroupQueryAttention", operands, {"y"}, attributes).output("y");
  };
  const std::vector<std::string> plain = {"q", "k", "v", "", "", "length", "total"};
  EXPECT_EQ(model(plain).import().outputs().size(), 1u);
  EXPECT_THAT(malformed(model({"q", "k", "v"})), HasSubstr("needs 7 operands"));
  EXPECT_THAT(malformed(model(plain, {{"kv_num_heads", int64_t{3}}})),
              HasSubstr("kv_num_heads is 3, which does not divide 4"));
  EXPECT_THAT(malformed(model({"q", "k", "", "", "", "length", "total"})),
              HasSubstr("keys or values alone"));
  EXPECT_THAT(malformed(model({"q", "k", "v", "past", "", "length", "total"})),
              HasSubstr("a past of keys or of values alone"));
  EXPECT_THAT(malformed(model(plain, {{"do_rotary", int64_t{1}}})),
              HasSubstr("operand 7 is missing"));
  EXPECT_THAT(refused(model(plain, {{"smooth_softmax", int64_t{1}}})), HasSubstr("smooths"));
}

TEST(MicrosoftMalformed, Layers) {
  const auto model = [](const std::string& op, const std::vector<std::string>& operands,
                        const AttributeMap& attributes = {},
                        const std::vector<std::string>& results = {"y"}) {
    OnnxModel m;
    m.input("x", {2, 3, 4}).input("ids", {2, 3}, onnx::TensorProto::INT32);
    m.constant("g", wave({4}, 1))
        .constant("m", wave({3, 3}, 1))
        .constant("text", Tensor::from<std::string>({1}, {"a"}));
    m.node("com.microsoft." + op, operands, results, attributes, "n");
    for (const auto& r : results)
      if (!r.empty()) m.output(r);
    return m;
  };
  EXPECT_THAT(malformed(model("SkipLayerNormalization", {"x", "x"})),
              HasSubstr("SkipLayerNormalization 'n': has 2 operands, 3 to 5 are needed"));
  EXPECT_THAT(refused(model("SkipLayerNormalization", {"x", "x", "g"}, {}, {"y", "mean"})),
              HasSubstr("asked for its statistics"));
  EXPECT_THAT(malformed(model("EmbedLayerNormalization", {"ids"})), HasSubstr("needs 7 operands"));
  EXPECT_THAT(malformed(model("QuickGelu", {"text"})), HasSubstr("holds strings"));
  EXPECT_THAT(malformed(model("FastGelu", {"x"}, {{"approximate", int64_t{1}}})),
              HasSubstr("attribute 'approximate' is not known"));
  EXPECT_THAT(malformed(model("FusedMatMul", {"g", "x"}, {{"transBatchA", int64_t{1}}})),
              HasSubstr("transposes the batch"));
  EXPECT_THAT(refused(model("FusedGemm", {"m", "m"}, {{"activation", std::string("Swirl")}})),
              HasSubstr("Swirl"));
  EXPECT_THAT(malformed(model("QLinearAdd", {"x", "x"})), HasSubstr("operand 3 is missing"));
  EXPECT_THAT(malformed(model("QLinearConcat", {"x", "x", "x"}, {{"axis", int64_t{0}}})),
              HasSubstr("two and three for each tensor"));
  OnnxModel part;
  part.input("x", {1, 2, 8}).input("at", {1, 2}, onnx::TensorProto::INT64);
  part.constant("cos", wave({8, 2}, 1)).constant("sin", wave({8, 2}, 2));
  part.node("com.microsoft.RotaryEmbedding", {"x", "at", "cos", "sin"}, {"y"},
            {{"rotary_embedding_dim", int64_t{4}}});
  EXPECT_THAT(malformed(part.output("y")), HasSubstr("leaves num_heads out"));
  EXPECT_THAT(refused(model("SparseAttention", {"x"})), HasSubstr("SparseAttention ('n')"));
  EXPECT_THAT(refused(model("Tokenizer", {"text"})), HasSubstr("text is cut into tokens before"));
}

TEST(MicrosoftMalformed, WeightsOfFewBits) {
  const auto model = [](int64_t k, int64_t bits, const Shape& packed, bool order = false) {
    OnnxModel m;
    m.input("x", {2, 32}).constant("b", Tensor(DType::u8, packed)).constant("s", wave({6}, 2));
    m.constant("order", Tensor(DType::i32, {32}));
    std::vector<std::string> operands = {"x", "b", "s"};
    if (order) operands = {"x", "b", "s", "", "order"};
    return m
        .node("com.microsoft.MatMulNBits", operands, {"y"},
              {{"N", int64_t{3}}, {"K", k}, {"bits", bits}, {"block_size", int64_t{16}}})
        .output("y");
  };
  EXPECT_THAT(malformed(model(48, 4, {3, 3, 8})), HasSubstr("its last extent must be K = 48"));
  EXPECT_THAT(malformed(model(32, 4, {3, 2, 7})), HasSubstr("[3,16] is needed"));
  EXPECT_THAT(malformed(model(0, 4, {3, 2, 8})), HasSubstr("K, N and block_size are 0, 3 and 16"));
  EXPECT_THAT(refused(model(32, 3, {3, 2, 6})), HasSubstr("bits is 3"));
  EXPECT_THAT(refused(model(32, 4, {3, 2, 8}, true)), HasSubstr("g_idx"));
}

}  // namespace
}  // namespace espalier
