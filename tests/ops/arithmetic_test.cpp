// Arithmetic where it is easily wrong: integer edges, mixed types, signs; and its errors.
#include <gtest/gtest.h>

#include <limits>

#include "tests/support/run_op.h"

namespace espalier {
namespace {

using testing::run_op;
using testing::user_error;

constexpr int64_t kMin64 = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax64 = std::numeric_limits<int64_t>::max();

template <class T>
Tensor list(std::vector<T> v) {
  return Tensor::from<T>({int64_t(v.size())}, v);
}
template <class T>
std::vector<T> values(const Tensor& t) {
  return {t.span<T>().begin(), t.span<T>().end()};
}
template <class T>
std::vector<T> binary(const std::string& op, std::vector<T> a, std::vector<T> b,
                      const AttributeMap& attributes = {}) {
  return values<T>(run_op(op, {list<T>(a), list<T>(b)}, attributes).at(0));
}
template <class T>
using V = std::vector<T>;

TEST(Arithmetic, IntegersWrap) {
  EXPECT_EQ(binary<int64_t>("Add", {kMax64}, {1}), V<int64_t>{kMin64});
  EXPECT_EQ(binary<int64_t>("Sub", {kMin64}, {1}), V<int64_t>{kMax64});
  EXPECT_EQ(binary<int64_t>("Mul", {kMax64}, {2}), V<int64_t>{-2});
  EXPECT_EQ(binary<int8_t>("Mul", {100}, {3}), V<int8_t>{44});
  EXPECT_EQ(binary<uint8_t>("Sub", {1}, {2}), V<uint8_t>{255});
  EXPECT_EQ(values<int8_t>(run_op("Neg", {list<int8_t>({-128, 5})})[0]), (V<int8_t>{-128, -5}));
  EXPECT_EQ(values<int64_t>(run_op("Abs", {list<int64_t>({kMin64, -3})})[0]),
            (V<int64_t>{kMin64, 3}));
  EXPECT_EQ(binary<int64_t>("MatMul", {kMax64, 1}, {2, 3})[0], 1);
}

TEST(Arithmetic, IntegerDivisionTruncatesAndIsDefinedEverywhere) {
  EXPECT_EQ(binary<int32_t>("Div", {7, -7, 7, -7}, {2, 2, -2, -2}), (V<int32_t>{3, -3, -3, 3}));
  EXPECT_EQ(binary<int64_t>("Div", {5, kMin64}, {0, -1}), (V<int64_t>{0, kMin64}));
  EXPECT_EQ(binary<uint64_t>("Div", {~0ull, ~0ull}, {2, ~0ull}), (V<uint64_t>{~0ull / 2, 1}));
}

TEST(Arithmetic, ModTakesTheSignItIsToldTo) {
  const V<int32_t> a = {-4, 7, 5, 4, -7, 8}, b = {2, -3, 8, -2, 3, 5};
  EXPECT_EQ(binary("Mod", a, b), (V<int32_t>{0, -2, 5, 0, 2, 3}));
  EXPECT_EQ(binary("Mod", a, b, {{"fmod", int64_t{1}}}), (V<int32_t>{0, 1, 5, 0, -1, 3}));
  EXPECT_EQ(binary<int64_t>("Mod", {5, kMin64}, {0, -1}), (V<int64_t>{0, 0}));
  EXPECT_EQ(binary<uint64_t>("Mod", {~0ull}, {10}), (V<uint64_t>{5}));
  EXPECT_EQ(binary<float>("Mod", {-4.5f, 5.0f}, {2.0f, -3.0f}, {{"fmod", int64_t{1}}}),
            (V<float>{-0.5f, 2.0f}));
  EXPECT_NE(
      user_error([] { binary<float>("Mod", {1}, {2}); }).find("fmod is 0 but the operands are f32"),
      std::string::npos);
}

TEST(Arithmetic, PowTakesMixedTypes) {
  const auto pow = [](Tensor x, Tensor p) { return run_op("Pow", {x, p}).at(0); };
  EXPECT_EQ(values<int32_t>(pow(list<int32_t>({1, 2, 3}), list<int64_t>({4, 5, 6}))),
            (V<int32_t>{1, 32, 729}));
  EXPECT_EQ(
      values<int32_t>(pow(list<int32_t>({2, 2, 1, -1, 0}), list<int32_t>({-1, 40, -5, -3, -1}))),
      (V<int32_t>{0, 0, 1, -1, 0}));
  EXPECT_EQ(values<int64_t>(pow(list<int64_t>({4, 2}), list<float>({0.5f, 1.5f}))),
            (V<int64_t>{2, 2}));
  EXPECT_EQ(values<float>(pow(list<float>({2, 3}), list<uint64_t>({3, 0}))), (V<float>{8, 1}));
}

TEST(Arithmetic, ExtremaOrderUnsignedNumbersAndKeepNaN) {
  EXPECT_EQ(binary<uint64_t>("Max", {~0ull}, {1}), V<uint64_t>{~0ull});
  EXPECT_EQ(binary<uint64_t>("Min", {~0ull}, {1}), V<uint64_t>{1});
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const char* op : {"Max", "Min"}) {
    const auto y = binary<float>(op, {nan, 1, 2}, {1, nan, 2});
    EXPECT_TRUE(y[0] != y[0] && y[1] != y[1] && y[2] == 2) << op;
  }
}

TEST(Arithmetic, RoundsHalvesToEven) {
  EXPECT_EQ(
      values<float>(run_op("Round", {list<float>({0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 2.4f})})[0]),
      (V<float>{0, 2, 2, 0, -2, 2}));
}

TEST(Arithmetic, ShiftsByTheWidthOrMoreGiveZero) {
  const auto shift = [](auto x, auto by, const char* direction) {
    return run_op("BitShift", {x, by}, {{"direction", std::string(direction)}}).at(0);
  };
  EXPECT_EQ(values<uint8_t>(shift(list<uint8_t>({255, 255}), list<uint8_t>({4, 8}), "LEFT")),
            (V<uint8_t>{240, 0}));
  EXPECT_EQ(
      values<uint64_t>(shift(list<uint64_t>({~0ull, ~0ull}), list<uint64_t>({63, 64}), "RIGHT")),
      (V<uint64_t>{1, 0}));
  EXPECT_NE(user_error([&] {
              shift(list<uint8_t>({1}), list<uint8_t>({1}), "UP");
            }).find("direction is 'UP'"),
            std::string::npos);
  EXPECT_NE(user_error([&] {
              shift(list<int8_t>({1}), list<int8_t>({1}), "LEFT");
            }).find("an unsigned integer type is needed"),
            std::string::npos);
}

TEST(Arithmetic, RefusesWhatItDoesNotTake) {
  const Tensor f = list<float>({1, 2}), i = list<int32_t>({1, 2});
  const Tensor s(DType::string, {2}), b(DType::boolean, {2});
  EXPECT_NE(user_error([&] {
              run_op("Mul", {f, i});
            }).find("operands are f32 and i32"),
            std::string::npos);
  EXPECT_NE(user_error([&] {
              run_op("Add", {s, s});
            }).find("is string, a numeric type"),
            std::string::npos);
  EXPECT_NE(user_error([&] {
              run_op("Sub", {b, b});
            }).find("is bool, a numeric type"),
            std::string::npos);
  EXPECT_NE(user_error([&] { run_op("Exp", {i}); }).find("is i32, a float type"),
            std::string::npos);
  EXPECT_NE(user_error([&] {
              run_op("Mul", {f, list<float>({1, 2, 3})});
            }).find("extents 2 and 3 do not broadcast"),
            std::string::npos);
  EXPECT_NE(user_error([&] { run_op("Mean", {i}); }).find("is i32, a float type"),
            std::string::npos);
}

TEST(Cast, ConvertsAsDocumented) {
  const auto cast = [](const Tensor& x, int64_t to) {
    return run_op("Cast", {x}, {{"to", to}})[0];
  };
  const float inf = std::numeric_limits<float>::infinity();
  const Tensor x = list<float>({-1.9f, 1.9f, inf, -inf, inf - inf});
  EXPECT_EQ(values<int32_t>(cast(x, 6)), (V<int32_t>{-1, 1, std::numeric_limits<int32_t>::max(),
                                                     std::numeric_limits<int32_t>::min(), 0}));
  EXPECT_EQ(values<uint8_t>(cast(list<int64_t>({-1, 256, 7}), 2)), (V<uint8_t>{255, 0, 7}));
  EXPECT_EQ(values<bool>(cast(list<float>({0, -0.5f, 2}), 9)), (V<bool>{false, true, true}));
  const Tensor half = cast(list<float>({65504, 1e-3f, 70000}), 10);
  EXPECT_EQ(half.dtype(), DType::f16);
  EXPECT_EQ(values<float>(cast(half, 1))[0], 65504);
  EXPECT_EQ(values<float>(cast(half, 1))[2], inf);
  EXPECT_EQ(values<float>(cast(cast(list<float>({1.0f + 1.0f / 256}), 16), 1)), V<float>{1});
}

TEST(Cast, RefusesWordsAndUnknownTypes) {
  const Tensor x = list<float>({1});
  EXPECT_NE(user_error([&] {
              run_op("Cast", {Tensor::from<std::string>({1}, {"one"})}, {{"to", int64_t{1}}});
            }).find("'one': is no f32"),
            std::string::npos);
  EXPECT_NE(user_error([&] {
              run_op("Cast", {x}, {{"to", int64_t{99}}});
            }).find("element type number 99"),
            std::string::npos);
  EXPECT_NE(user_error([&] { run_op("Cast", {x}); }).find("attribute 'to' is missing"),
            std::string::npos);
}

}  // namespace
}  // namespace espalier
