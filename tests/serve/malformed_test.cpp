// What every kind of malformed request is told: one error that names the field.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/serve/requests.h"

namespace espalier::serve {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

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
