// The Open Inference Protocol without sockets: what requests become, what answers look like, and
// what every kind of malformed request is told.
#include "serve/protocol.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/rng.h"
#include "serve/datatype.h"
#include "tests/serve/requests.h"

namespace espalier::serve {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::vector<DType> all_types() {
  return {DType::f64, DType::f32, DType::bf16,    DType::f16,   DType::i64,
          DType::i32, DType::i16, DType::i8,      DType::u64,   DType::u32,
          DType::u16, DType::u8,  DType::boolean, DType::string};
}

/// Elements that exercise a type: its ends, zero, and some between.
Tensor specimen(DType type, bool finite) {
  if (type == DType::string)
    return Tensor::from<std::string>({2, 2}, {"", "a", "\"quoted\"\n", "größer"});
  Tensor t(type, {2, 4});
  visit_numeric(type, [&](auto tag) {
    using T = decltype(tag);
    T* p = t.mutable_data<T>();
    if constexpr (std::is_same_v<T, bool>) {
      for (int i = 0; i < 8; ++i) p[i] = i % 3 == 0;
    } else if constexpr (std::is_integral_v<T>) {
      p[0] = std::numeric_limits<T>::min();
      p[1] = std::numeric_limits<T>::max();
      for (int i = 2; i < 8; ++i) p[i] = T(i - 3);
    } else {
      const double values[] = {0.1, -0.0, 1e-7, 3.0, -2.5, 1.0 / 3, 60000, 1};
      for (int i = 0; i < 8; ++i) p[i] = convert_element<T>(values[i]);
      if (!finite) {
        p[0] = convert_element<T>(std::numeric_limits<double>::infinity());
        p[1] = convert_element<T>(-std::numeric_limits<double>::infinity());
      }
    }
  });
  return t;
}

// ---- round trips -------------------------------------------------------------------------------

TEST(Datatypes, HaveNamesBothWays) {
  for (DType type : all_types()) EXPECT_EQ(dtype_from_datatype(datatype_of(type)), type);
  EXPECT_EQ(datatype_of(DType::string), "BYTES");
  EXPECT_EQ(dtype_from_datatype("fp32"), std::nullopt);
}

TEST(Protocol, EveryTypeReturnsThroughJson) {
  for (DType type : all_types())
    for (bool finite : {true, false}) {
      const Tensor sent = specimen(type, finite);
      const InferReply reply = encode_reply("m", "", {{"y", sent, false}});
      EXPECT_FALSE(reply.json_bytes.has_value());
      json body = json::parse(reply.body);
      const InferRequest back = parse(json{{"inputs", body["outputs"]}}.dump());
      ASSERT_EQ(back.inputs.size(), 1u);
      EXPECT_TRUE(back.inputs[0].tensor.identical(sent)) << datatype_of(type) << reply.body;
      EXPECT_TRUE(back.inputs[0].from_json);
    }
}

TEST(Protocol, EveryTypeReturnsThroughBinary) {
  std::vector<NamedTensor> sent;
  for (DType type : all_types()) {
    NamedTensor t{"y" + std::to_string(sent.size()), specimen(type, false), true};
    if (sent.size() == 3) t.binary = false;  // both kinds in one message
    sent.push_back(t);
  }
  const InferReply reply = encode_reply("m", "7", sent);
  ASSERT_TRUE(reply.json_bytes.has_value());
  const std::string text = reply.body.substr(0, *reply.json_bytes);
  const InferRequest back = parse_binary(json{{"inputs", json::parse(text)["outputs"]}}.dump(),
                                         reply.body.substr(*reply.json_bytes));
  ASSERT_EQ(back.inputs.size(), sent.size());
  for (size_t i = 0; i < sent.size(); ++i)
    EXPECT_TRUE(back.inputs[i].tensor.identical(sent[i].tensor)) << i;
}

TEST(Protocol, FloatsOfAllSizesReturnExactly) {
  Tensor t(DType::f32, {5000});
  const Rng rng(3, 1);
  for (int64_t i = 0; i < t.size(); ++i)
    t.mutable_data<float>()[i] =
        float(rng.normal(uint64_t(i)) * std::pow(10.0, rng.uniform(uint64_t(i) + 9999, -37, 37)));
  const InferReply reply = encode_reply("m", "", {{"y", t, false}});
  const InferRequest back = parse(json{{"inputs", json::parse(reply.body)["outputs"]}}.dump());
  EXPECT_TRUE(back.inputs[0].tensor.identical(t));
}

TEST(Protocol, EmptyTensorsAndScalars) {
  const InferRequest r = parse(
      R"({"inputs": [{"name": "a", "datatype": "FP32", "shape": [0, 3], "data": []},
                     {"name": "b", "datatype": "INT64", "shape": [], "data": [5]},
                     {"name": "c", "datatype": "BYTES", "shape": [2, 0], "data": [[], []]}]})");
  EXPECT_EQ(r.inputs[0].tensor.shape(), (Shape{0, 3}));
  EXPECT_EQ(r.inputs[1].tensor.int_at(0), 5);
  EXPECT_EQ(r.inputs[2].tensor.shape(), (Shape{2, 0}));
}

TEST(Protocol, NestedDataIsRowMajor) {
  const InferRequest r =
      parse(with_input(R"("shape": [2, 1, 2], "data": [[[1, 2]], [[3, 4]]], "datatype": "INT8")"));
  EXPECT_THAT(r.inputs[0].tensor.to_i64(), ElementsAre(1, 2, 3, 4));
}

TEST(Protocol, ReadsWhatElseARequestSays) {
  const InferRequest r = parse(R"({
    "id": "42", "parameters": {"timeout": 2500, "binary_data_output": true, "priority": 3},
    "inputs": [{"data": [true, 0], "name": "x", "datatype": "BOOL", "shape": [2],
                "parameters": {"content_type": "np"}}],
    "outputs": [{"name": "y"}, {"name": "z", "parameters": {"binary_data": false}}]})");
  EXPECT_EQ(r.id, "42");
  EXPECT_EQ(r.timeout, std::chrono::microseconds(2500));
  EXPECT_TRUE(r.binary_outputs);
  EXPECT_THAT(r.inputs[0].tensor.to_i64(), ElementsAre(1, 0));
  ASSERT_EQ(r.outputs.size(), 2u);
  EXPECT_EQ(r.outputs[0].binary, std::nullopt);
  EXPECT_EQ(r.outputs[1].binary, false);
}

TEST(Protocol, ReplyIsWhatTheProtocolSays) {
  const InferReply reply =
      encode_reply("net", "a\"b", {{"y", Tensor::from<float>({1, 2}, {1.5f, NAN}), false}});
  EXPECT_EQ(reply.body,
            R"({"model_name":"net","model_version":"1","id":"a\"b","outputs":[{"name":"y",)"
            R"("datatype":"FP32","shape":[1,2],"data":[1.5,"NaN"]}]})");
}

TEST(Protocol, MetadataIsWhatTheProtocolSays) {
  const Signature s{{{"x", {DType::f32, {Dim::symbol("N"), 3}}}}, {{"y", {DType::i64, Dims{}}}}};
  EXPECT_EQ(encode_metadata("net", s, {}),
            R"({"name":"net","versions":["1"],"platform":"espalier",)"
            R"("inputs":[{"name":"x","datatype":"FP32","shape":[-1,3]}],)"
            R"("outputs":[{"name":"y","datatype":"INT64","shape":[]}]})");
  EXPECT_THAT(encode_metadata("net", s, {"x"}), HasSubstr("JPEG or PNG"));
}

TEST(Protocol, ErrorsAreJsonWhateverTheyQuote) {
  EXPECT_EQ(json::parse(encode_error("a \"b\" \xff\x01"))["error"], "a \"b\" \uFFFD\x01");
}

TEST(Protocol, StringsThatAreNoTextNeedBinary) {
  const Tensor t = Tensor::from<std::string>({1}, {"\xff\xfe"});
  EXPECT_THAT(told([&] { encode_reply("m", "", {{"y", t, false}}); }), HasSubstr("no UTF-8"));
  EXPECT_TRUE(encode_reply("m", "", {{"y", t, true}}).json_bytes.has_value());
}

// ---- raw bodies --------------------------------------------------------------------------------

TEST(RawBody, FillsTheOnlyInput) {
  const Signature s{{{"x", {DType::i16, {Dim::symbol("N"), 2}}}}, {}};
  const InferRequest r = raw_infer(std::string("\1\0\2\0\3\0\4\0", 8), s, false, {});
  EXPECT_EQ(r.inputs[0].tensor.shape(), (Shape{2, 2}));
  EXPECT_THAT(r.inputs[0].tensor.to_i64(), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(told([&] { raw_infer("abcde", s, false, {}); }),
              HasSubstr("body: is 5 bytes, INT16 [1,2] is 4"));
  EXPECT_THAT(told([&] { raw_infer("", s, false, {}); }), HasSubstr("is 0 bytes"));
  const InferRequest picture = raw_infer("abc", s, true, {});
  EXPECT_EQ(picture.inputs[0].tensor.shape(), (Shape{1}));
  EXPECT_EQ(picture.inputs[0].tensor.data<std::string>()[0], "abc");
}

TEST(RawBody, IsRefusedWhereItSaysTooLittle) {
  const TensorType vague{DType::f32, {Dim::symbol("N"), Dim::symbol("L")}};
  EXPECT_THAT(told([&] {
                raw_infer("abcd", {{{"x", vague}}, {}}, false, {});
              }),
              HasSubstr("several open extents"));
  EXPECT_THAT(told([&] {
                raw_infer("abcd", {{{"x", vague}, {"y", vague}}, {}}, false, {});
              }),
              HasSubstr("networks with one input"));
  const TensorType wide{DType::u8, {Dim::symbol("N")}};
  EXPECT_THAT(told([&] {
                raw_infer("abcdef", {{{"x", wide}}, {}}, false, {5});
              }),
              StartsWith("413: "));
}

}  // namespace
}  // namespace espalier::serve
