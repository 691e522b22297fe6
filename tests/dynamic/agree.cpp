#include "tests/dynamic/agree.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "ir/interpret.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "onnx/export.h"
#include "onnx/import.h"
#include "tests/support/run_op.h"
#include "tests/support/samples.h"

namespace espalier::testing {
namespace {

void expect_same(const std::vector<Datum>& got, const std::vector<Datum>& want,
                 const std::string& how) {
  ASSERT_EQ(got.size(), want.size()) << how;
  for (size_t i = 0; i < want.size(); ++i) {
    ASSERT_EQ(got[i].is_tensor(), want[i].is_tensor()) << how;
    if (!want[i].is_tensor()) {
      expect_same(got[i].items(), want[i].items(), how + ", an item");
      continue;
    }
    EXPECT_LE(mismatch(got[i].tensor(), want[i].tensor(), 1e-5, 1e-6), 1)
        << how << ": result " << i << " is " << describe(got[i]) << ", not " << describe(want[i]);
  }
}

}  // namespace

std::vector<Datum> agreed(const Graph& graph, const std::vector<Datum>& inputs, bool onnx) {
  EXPECT_EQ(violation(graph), "");
  const std::vector<Datum> want = interpret_data(graph, inputs);
  Model model(graph);
  expect_same(model.run_data(inputs), want, "compiled");
  const int compiled = model.compilations();
  expect_same(model.run_data(inputs), want, "compiled, once more");
  EXPECT_EQ(model.compilations(), compiled) << "the same inputs compile nothing";
  const std::string text = print(graph);
  const Graph read = parse_graph(text);
  EXPECT_EQ(print(read), text);
  expect_same(interpret_data(read, inputs), want, "from text");
  if (!onnx) return want;
  const Graph back = import_onnx_bytes(export_onnx_bytes(graph), "exported.onnx");
  EXPECT_EQ(violation(back), "");
  expect_same(interpret_data(back, inputs), want, "exported");
  expect_same(Model(back).run_data(inputs), want, "exported and compiled");
  return want;
}

std::vector<Datum> agreed(const std::string& text, const std::vector<Datum>& inputs, bool onnx) {
  return agreed(parse_graph(text), inputs, onnx);
}

std::vector<double> elements(const Tensor& tensor) {
  std::vector<double> values;
  for (int64_t i = 0; i < tensor.size(); ++i) values.push_back(tensor.at(i));
  return values;
}

std::vector<double> numbers(const std::string& text, const std::vector<Datum>& inputs, bool onnx) {
  return elements(agreed(text, inputs, onnx).at(0).tensor());
}

Tensor f32s(std::vector<float> values) {
  return Tensor::from<float>({int64_t(values.size())}, std::span<const float>(values));
}
Tensor i64(int64_t value) { return Tensor::scalar(value); }
Tensor flag(bool value) { return Tensor::scalar(value); }

std::string refusal(const std::string& text, const std::vector<Datum>& inputs) {
  const Graph g = parse_graph(text);
  const std::string reference = user_error([&] { interpret_data(g, inputs); });
  const std::string compiled = user_error([&] { Model(g).run_data(inputs); });
  EXPECT_NE(reference, "(no error)");
  EXPECT_NE(compiled, "(no error)");
  return reference + "\n" + compiled;
}

}  // namespace espalier::testing
