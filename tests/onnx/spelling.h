// One node in the spellings of several opsets.
#pragma once

#include <gtest/gtest.h>

#include "ir/interpret.h"
#include "tests/onnx/models.h"
#include "tests/support/samples.h"

namespace espalier::testing {

using Ints = std::vector<int64_t>;

inline Tensor counting(Shape shape) {
  Tensor t(DType::f32, std::move(shape));
  for (int64_t i = 0; i < t.size(); ++i) t.mutable_data<float>()[i] = float(i % 7) - 2;
  return t;
}

/// The model's first result on `x`.
inline Tensor result(const OnnxModel& m, const Tensor& x) {
  return interpret(m.import(), std::vector<Tensor>{x}).at(0);
}

/// Two spellings of one node give the same; the first in an old or new opset, the second canonical.
inline void expect_same(const OnnxModel& a, const OnnxModel& b, const Tensor& x) {
  const Tensor got = result(a, x), want = result(b, x);
  EXPECT_EQ(got.shape(), want.shape());
  EXPECT_LE(mismatch(got, want, 1e-6, 1e-6), 1);
}

struct Spelling {
  int64_t opset;
  AttributeMap attributes = {};
  std::vector<Tensor> operands = {};  ///< constants after x
};

inline OnnxModel model_of(const std::string& op, const Spelling& s, const Shape& shape) {
  OnnxModel m(s.opset);
  m.input("x", shape);
  std::vector<std::string> names = {"x"};
  for (size_t i = 0; i < s.operands.size(); ++i) {
    names.push_back("c" + std::to_string(i));
    m.constant(names.back(), s.operands[i]);
  }
  return m.node(op, names, {"y"}, s.attributes).output("y");
}

inline void expect_same(const std::string& op, const Shape& shape, const Spelling& a,
                        const Spelling& b) {
  expect_same(model_of(op, a, shape), model_of(op, b, shape), counting(shape));
}

inline Tensor list(const Ints& v) { return Tensor::vector_i64(v); }
inline Tensor number(float v) { return Tensor::scalar(v); }

}  // namespace espalier::testing
