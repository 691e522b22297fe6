// Comparisons and logic at their edges, and their errors.
#include <gtest/gtest.h>

#include <limits>

#include "tests/support/run_op.h"

namespace espalier {
namespace {

using testing::run_op;
using testing::user_error;

template <class T>
Tensor list(std::initializer_list<T> v) {
  return Tensor::from<T>({int64_t(v.size())}, v);
}
std::vector<int> truth(const Tensor& t) {
  std::vector<int> v;
  for (int64_t i = 0; i < t.size(); ++i) v.push_back(int(t.at(i)));
  return v;
}
using V = std::vector<int>;

TEST(Comparison, OrdersUnsignedNumbers) {
  const Tensor a = list<uint64_t>({~0ull, 1}), b = list<uint64_t>({1, 1});
  EXPECT_EQ(truth(run_op("Less", {a, b})[0]), (V{0, 0}));
  EXPECT_EQ(truth(run_op("GreaterOrEqual", {a, b})[0]), (V{1, 1}));
}

TEST(Comparison, IsFalseOfNaN) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const char* op : {"Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal"})
    EXPECT_EQ(truth(run_op(op, {list<float>({nan, 1}), list<float>({nan, nan})})[0]), (V{0, 0}))
        << op;
}

TEST(Comparison, TellsCloseDoublesAndLargeIntegersApart) {
  EXPECT_EQ(truth(run_op("Less", {list<double>({1}), list<double>({1 + 1e-15})})[0]), V{1});
  const int64_t big = int64_t{1} << 60;
  EXPECT_EQ(truth(run_op("Equal", {list<int64_t>({big}), list<int64_t>({big + 1})})[0]), V{0});
}

TEST(Comparison, TakesBooleansOnlyForEquality) {
  const Tensor a = list<bool>({true, false}), b = list<bool>({true, true});
  EXPECT_EQ(truth(run_op("Equal", {a, b})[0]), (V{1, 0}));
  EXPECT_NE(user_error([&] {
              run_op("Less", {a, b});
            }).find("is bool, a numeric type"),
            std::string::npos);
  EXPECT_NE(user_error([&] {
              run_op("Equal", {a, list<float>({1, 2})});
            }).find("bool and f32"),
            std::string::npos);
  const Tensor s = list<std::string>({"one", "two"}), t = list<std::string>({"one", "three"});
  EXPECT_EQ(truth(run_op("Equal", {s, t})[0]), (V{1, 0}));
  EXPECT_NE(user_error([&] { run_op("Less", {s, s}); }).find("is string"), std::string::npos);
}

TEST(Logic, HasItsTruthTables) {
  const Tensor a = list<bool>({false, false, true, true}),
               b = list<bool>({false, true, false, true});
  EXPECT_EQ(truth(run_op("And", {a, b})[0]), (V{0, 0, 0, 1}));
  EXPECT_EQ(truth(run_op("Or", {a, b})[0]), (V{0, 1, 1, 1}));
  EXPECT_EQ(truth(run_op("Xor", {a, b})[0]), (V{0, 1, 1, 0}));
  EXPECT_EQ(truth(run_op("Not", {b})[0]), (V{1, 0, 1, 0}));
  EXPECT_NE(user_error([&] {
              run_op("And", {a, list<float>({1, 2, 3, 4})});
            }).find("operand 1 is f32, bool is needed"),
            std::string::npos);
}

TEST(Where, TakesEveryElementTypeButStrings) {
  const Tensor c = list<bool>({true, false});
  const Tensor y = run_op("Where", {c, list<uint16_t>({1, 2}), list<uint16_t>({65535, 65535})})[0];
  EXPECT_EQ(y.dtype(), DType::u16);
  EXPECT_EQ(truth(y), (V{1, 65535}));
  EXPECT_EQ(truth(run_op("Where", {c, c, list<bool>({false, true})})[0]), (V{1, 1}));
  const Tensor s(DType::string, {2});
  EXPECT_NE(user_error([&] { run_op("Where", {c, s, s}); }).find("strings"), std::string::npos);
  EXPECT_NE(user_error([&] {
              run_op("Where", {list<float>({1, 2}), c, c});
            }).find("bool is needed"),
            std::string::npos);
}

TEST(Classification, SeesInfinitiesAndNaN) {
  const float inf = std::numeric_limits<float>::infinity();
  const Tensor x = list<float>({inf, -inf, inf - inf, 1});
  EXPECT_EQ(truth(run_op("IsNaN", {x})[0]), (V{0, 0, 1, 0}));
  EXPECT_EQ(truth(run_op("IsInf", {x})[0]), (V{1, 1, 0, 0}));
  EXPECT_EQ(truth(run_op("IsInf", {x}, {{"detect_negative", int64_t{0}}})[0]), (V{1, 0, 0, 0}));
}

}  // namespace
}  // namespace espalier
