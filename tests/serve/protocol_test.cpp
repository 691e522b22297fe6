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
#include "serve/message.h"

namespace espalier::serve {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

InferRequest parse(const std::string& body) { return parse_infer(body, std::nullopt, {}); }

/// JSON and the binary part behind it.
InferRequest parse_binary(const std::string& text, const std::string& binary) {
  return parse_infer(text + binary, std::to_string(text.size()), {});
}

/// "where: what" of the UserError, or "413: what" of the Rejection.
template <class F>
std::string told(F&& f) {
  try {
    f();
  } catch (const UserError& e) {
    return e.what();
  } catch (const Rejection& e) {
    return std::to_string(e.status()) + ": " + e.what();
  }
  return "(accepted)";
}
std::string told(const std::string& body) {
  return told([&] { parse(body); });
}

std::string with_input(const std::string& fields) {
  return R"({"inputs": [{"name": "x", )" + fields + "}]}";
}

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

// ---- malformed requests ------------------------------------------------------------------------

TEST(Malformed, BodiesThatAreNoRequest) {
  EXPECT_EQ(told(""), "body: is no JSON at byte 1");
  EXPECT_THAT(told("{"), HasSubstr("is no JSON at byte 2"));
  EXPECT_THAT(told("{} x"), HasSubstr("is no JSON at byte 4"));
  EXPECT_EQ(told("[]"), "body: is no JSON object");
  EXPECT_EQ(told("7"), "body: is no JSON object");
  EXPECT_EQ(told("{}"), "inputs: is missing");
  EXPECT_EQ(told(R"({"inputs": {}})"), "inputs: is no array");
  EXPECT_EQ(told(R"({"inputs": []})"), "inputs: is empty");
  EXPECT_EQ(told(R"({"inputs": [3]})"), "inputs[0]: is no JSON object");
  EXPECT_THAT(told("{\"inputs\": \"\xff\"}"), HasSubstr("is no JSON at byte"));
  EXPECT_THAT(told(R"({"id": 1e999})"), HasSubstr("too large"));
  EXPECT_EQ(told(R"({"id": "a", "id": "b"})"), "body: has 'id' twice");
  const std::string good = R"("datatype": "INT8", "shape": [1], "data": [1])";
  EXPECT_EQ(told(R"({"input": [], "inputs": [{"name": "x", )" + good + "}]}"),
            "body: has the unknown field 'input'");
  EXPECT_EQ(told(with_input(good + R"(, "dtype": 1)")), "inputs[0]: has the unknown field 'dtype'");
  EXPECT_EQ(told(with_input(good + R"(, "data": [1])")), "inputs[0]: has 'data' twice");
  EXPECT_EQ(told(R"({"id": 3, "inputs": []})"), "id: is no string");
}

TEST(Malformed, NestingAndSizeHaveEnds) {
  EXPECT_THAT(told(std::string(100000, '[')), HasSubstr("nested too deeply"));
  EXPECT_THAT(told(with_input(R"("data": )" + std::string(100000, '['))),
              HasSubstr("inputs[0].data: is nested too deeply"));
  std::string many = R"({"parameters": {"a": [)";
  for (int i = 0; i < 70000; ++i) many += "1,";
  EXPECT_THAT(told(many + "1]}}"), HasSubstr("values outside of data"));
  EXPECT_THAT(told(with_input(R"("shape": [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1], "datatype": "INT8",
                              "data": [1])")),
              HasSubstr("inputs[0].shape: has more than 16 extents"));
}

TEST(Malformed, FieldsOfInputs) {
  EXPECT_EQ(told(R"({"inputs": [{}]})"), "inputs[0].name: is missing");
  EXPECT_EQ(told(R"({"inputs": [{"name": ""}]})"), "inputs[0].name: is empty");
  EXPECT_EQ(told(R"({"inputs": [{"name": 5}]})"), "inputs[0].name: is no string");
  EXPECT_EQ(told(with_input(R"("shape": [1])")), "inputs[0].datatype: is missing");
  EXPECT_EQ(told(with_input(R"("datatype": "FLOAT")")), "inputs[0].datatype: 'FLOAT' is not known");
  EXPECT_EQ(told(with_input(R"("datatype": "FP32")")), "inputs[0].shape: is missing");
  EXPECT_EQ(told(with_input(R"("datatype": "FP32", "shape": 3)")), "inputs[0].shape: is no array");
  for (const char* extent : {"-1", "1.5", "\"1\"", "null", "99999999999999", "[1]"})
    EXPECT_EQ(told(with_input(R"("datatype": "FP32", "shape": [1, )" + std::string(extent) + "]")),
              "inputs[0].shape[1]: is no extent")
        << extent;
  EXPECT_EQ(told(with_input(R"("datatype": "FP32", "shape": [1])")), "inputs[0].data: is missing");
  for (const char* data : {"3", "\"abcd\"", "{}", "null"})
    EXPECT_EQ(told(with_input(R"("datatype": "FP32", "shape": [1], "data": )" + std::string(data))),
              "inputs[0].data: is no array")
        << data;
  EXPECT_EQ(told(with_input(R"("datatype": "FP32", "shape": [1], "parameters": 4, "data": [1])")),
            "inputs[0].parameters: is no JSON object");
}

TEST(Malformed, Elements) {
  const auto data = [](const char* datatype, const std::string& shape,
                       const std::string& elements) {
    return told(with_input(R"("datatype": ")" + std::string(datatype) + R"(", "shape": )" + shape +
                           R"(, "data": )" + elements));
  };
  EXPECT_THAT(data("FP32", "[2]", "[1]"), HasSubstr("inputs[0].data: has 1 elements, the shape"));
  EXPECT_THAT(data("FP32", "[2]", "[1, 2, 3]"), HasSubstr("has 3 elements"));
  EXPECT_THAT(data("FP32", "[4]", "[[1, 2], [3, 4]]"), HasSubstr("is nested as [2,2]"));
  EXPECT_THAT(data("FP32", "[2, 2]", "[[1, 2], [3]]"), HasSubstr("rows of 2 and of 1"));
  EXPECT_THAT(data("FP32", "[2, 2]", "[[1, 2], 3, 4]"), HasSubstr("nested unevenly"));
  EXPECT_THAT(data("FP32", "[2, 2]", "[1, [2, 3]]"), HasSubstr("nested unevenly"));
  EXPECT_THAT(data("FP32", "[2]", "[1, null]"), HasSubstr("inputs[0].data: holds null"));
  EXPECT_THAT(data("FP32", "[2]", "[1, {}]"), HasSubstr("inputs[0].data: holds an object"));
  EXPECT_EQ(data("FP32", "[2]", "[1, \"a\"]"), "inputs[0].data[1]: is a string, no FP32");
  EXPECT_EQ(data("FP32", "[1]", "[true]"), "inputs[0].data[0]: is true, no FP32");
  EXPECT_EQ(data("FP32", "[1]", "[1e39]"), "inputs[0].data[0]: is 1e+39, no FP32");
  EXPECT_THAT(data("FP16", "[1]", "[70000]"), HasSubstr("is 70000, no FP16"));
  EXPECT_EQ(data("INT8", "[1]", "[128]"), "inputs[0].data[0]: is 128, no INT8");
  EXPECT_EQ(data("INT8", "[1]", "[-129]"), "inputs[0].data[0]: is -129, no INT8");
  EXPECT_EQ(data("UINT64", "[1]", "[-1]"), "inputs[0].data[0]: is -1, no UINT64");
  EXPECT_THAT(data("INT64", "[1]", "[9223372036854775808]"), HasSubstr("no INT64"));
  EXPECT_EQ(data("INT32", "[1]", "[1.5]"), "inputs[0].data[0]: is 1.5, no INT32");
  EXPECT_EQ(data("BOOL", "[1]", "[2]"), "inputs[0].data[0]: is 2, no BOOL");
  EXPECT_EQ(data("BYTES", "[1]", "[2]"), "inputs[0].data[0]: is 2, no BYTES");
}

TEST(Malformed, BinaryParts) {
  const auto binary = [](const std::string& fields, const std::string& bytes) {
    return told([&] { parse_binary(with_input(fields), bytes); });
  };
  const std::string two = R"("datatype": "INT16", "shape": [2], "parameters": )";
  EXPECT_EQ(binary(two + R"({"binary_data_size": 4})", "abcd"), "(accepted)");
  EXPECT_THAT(binary(two + R"({"binary_data_size": 4})", "abc"),
              HasSubstr("inputs[0].parameters.binary_data_size: is 4, the body has 3 bytes left"));
  EXPECT_EQ(binary(two + R"({"binary_data_size": 4})", "abcdef"),
            "body: has 2 bytes after the data of its inputs");
  EXPECT_THAT(binary(two + R"({"binary_data_size": 3})", "abc"), HasSubstr("INT16 [2] is 4"));
  for (const char* size : {"-4", "1.5", "\"4\"", "18446744073709551615"})
    EXPECT_THAT(binary(two + R"({"binary_data_size": )" + size + "}", "abcd"),
                HasSubstr("binary_data_size: is no whole number"))
        << size;
  EXPECT_THAT(binary(two + R"({"binary_data_size": 4}, "data": [1, 2])", "abcd"),
              HasSubstr("has both data and binary_data_size"));
  const std::string flags =
      R"("datatype": "BOOL", "shape": [2], "parameters": {"binary_data_size": 2})";
  EXPECT_THAT(binary(flags, "\1\2"), HasSubstr("has the byte 2 as element 1, no BOOL"));
  const auto strings = [&](const std::string& bytes) {
    return binary(R"("datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": )" +
                      std::to_string(bytes.size()) + "}",
                  bytes);
  };
  EXPECT_EQ(strings(std::string("\1\0\0\0a\0\0\0\0", 9)), "(accepted)");
  EXPECT_THAT(strings(std::string("\1\0\0\0a", 5)), HasSubstr("too few bytes"));
  EXPECT_THAT(strings(std::string("\1\0\0\0a\0\0\0", 8)), HasSubstr("ends within element 1"));
  EXPECT_THAT(strings(std::string("\1\0\0\0a\2\0\0\0a", 10)), HasSubstr("ends within element 1"));
  EXPECT_THAT(strings(std::string("\1\0\0\0a\xff\xff\xff\xff", 9)), HasSubstr("within element 1"));
  EXPECT_THAT(strings(std::string("\1\0\0\0a\0\0\0\0b", 10)), HasSubstr("1 bytes after its last"));
}

TEST(Malformed, HeaderLengths) {
  const std::string body = with_input(R"("datatype": "INT8", "shape": [1], "data": [1])");
  const auto length = [&](const std::string& text) {
    return told([&] { parse_infer(body, text, {}); });
  };
  EXPECT_EQ(length(std::to_string(body.size())), "(accepted)");
  for (const char* text : {"", "-1", "abc", "12x", "99999999999999999999999"})
    EXPECT_THAT(length(text), HasSubstr("Inference-Header-Content-Length: '")) << text;
  EXPECT_THAT(length("9999"), HasSubstr("is 9999, the body has"));
  EXPECT_THAT(length("5"), HasSubstr("is no JSON at byte"));
}

TEST(Malformed, OutputsAndParameters) {
  const std::string good =
      R"("inputs": [{"name": "x", "datatype": "INT8", "shape": [1], "data": [1]}])";
  const auto more = [&](const std::string& fields) {
    return told("{" + good + ", " + fields + "}");
  };
  EXPECT_EQ(more(R"("outputs": 3)"), "outputs: is no array");
  EXPECT_EQ(more(R"("outputs": [{}])"), "outputs[0].name: is missing");
  EXPECT_EQ(more(R"("outputs": [{"name": "y", "shape": [1]}])"),
            "outputs[0]: has the unknown field 'shape'");
  EXPECT_EQ(more(R"("outputs": [{"name": "y", "parameters": {"binary_data": 1}}])"),
            "outputs[0].parameters.binary_data: is neither true nor false");
  EXPECT_THAT(more(R"("outputs": [{"name": "y", "parameters": {"classification": 3}}])"),
              HasSubstr("classification: is not supported"));
  EXPECT_THAT(more(R"("parameters": {"timeout": -1})"),
              HasSubstr("parameters.timeout: is no whole"));
  EXPECT_THAT(more(R"("parameters": {"timeout": "1s"})"), HasSubstr("parameters.timeout: is no"));
  EXPECT_THAT(more(R"("parameters": {"sequence_id": 5})"), HasSubstr("state, which is not kept"));
  EXPECT_EQ(more(R"("parameters": [])"), "parameters: is no JSON object");
}

TEST(Malformed, TooManyElementsAre413) {
  const InferLimits few{5};
  const auto parse_few = [&](const std::string& body) {
    return told([&] { parse_infer(body, std::nullopt, few); });
  };
  const std::string six = R"("datatype": "INT8", "shape": [6], "data": [1,2,3,4,5,6])";
  EXPECT_THAT(parse_few(with_input(six)), StartsWith("413: inputs[0].data: "));
  const std::string claims = R"("datatype": "INT8", "shape": [1000000, 1000000, 1000000])";
  EXPECT_THAT(parse_few(with_input(claims)), StartsWith("413: inputs[0].shape: "));
  const std::string three = R"("datatype": "INT8", "shape": [3], "data": [1,2,3]})";
  EXPECT_THAT(
      parse_few(R"({"inputs": [{"name": "a", )" + three + R"(, {"name": "b", )" + three + "]}"),
      StartsWith("413: "));
}

/// Damage to a good request at every byte: an error or another request, never anything else.
TEST(Malformed, AnyByteDamaged) {
  const std::string text =
      R"({"id":"1","inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[[1.5,2]]},)"
      R"({"name":"s","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":5}}]})";
  const std::string body = text + std::string("\1\0\0\0a", 5);
  const std::string length = std::to_string(text.size());
  int accepted = 0, refused = 0;
  for (size_t i = 0; i < body.size(); ++i)
    for (const char c : {'\0', '"', '[', ']', '{', '}', ',', '-', '9', 'e', '\\', '\xff', ' '}) {
      std::string damaged = body;
      damaged[i] = c;
      const std::string what = told([&] { parse_infer(damaged, length, {}); });
      ++(what == "(accepted)" ? accepted : refused);
    }
  EXPECT_GT(accepted, 0);
  EXPECT_GT(refused, 1000);
  for (size_t n = 0; n < body.size(); ++n)
    EXPECT_NE(told([&] { parse_infer(body.substr(0, n), length, {}); }), "(accepted)") << n;
}

}  // namespace
}  // namespace espalier::serve
