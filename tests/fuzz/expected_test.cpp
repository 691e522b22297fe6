// Tolerances: what rounding may do is allowed, what it may not is a difference.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "fuzz/case.h"
#include "fuzz/expected.h"
#include "ir/builder.h"

namespace espalier::fuzz {
namespace {

struct Network {
  Graph g;
  Builder b{g};
  std::vector<Tensor> inputs;

  ValueId input(const Shape& shape, DType dtype = DType::f32) {
    const std::string name = "x" + std::to_string(inputs.size());
    inputs.push_back(drawn(dtype, shape, {-1, 1}, Rng(3, stream_of(name))));
    return g.add_input(name, TensorType(dtype, shape));
  }
  /// What is said of the outputs with one element changed.
  std::optional<std::string> with(int64_t element, float value) {
    const Expected want = expected(g, inputs);
    std::vector<Tensor> got = want.outputs;
    got[0] = got[0].clone();
    got[0].mutable_data<float>()[element] = value;
    return difference(want, got);
  }
  float at(int64_t element) { return expected(g, inputs).outputs[0].data<float>()[element]; }
};

TEST(Expected, AllowsAnotherOrderOfSummation) {
  Network n;
  n.g.add_output(n.b.matmul(n.input({4, 64}), n.input({64, 4})));
  EXPECT_FALSE(n.with(5, n.at(5) + 3e-7f));
  EXPECT_TRUE(n.with(5, n.at(5) + 3e-3f));
}

TEST(Expected, AllowsNarrowTypesTheirRoundings) {
  for (const DType dtype : {DType::bf16, DType::f16}) {
    Network n;
    n.g.add_output(
        n.b.cast(n.b.matmul(n.input({4, 8}, dtype), n.input({8, 4}, dtype)), DType::f32));
    const double step = dtype == DType::bf16 ? 0x1p-8 : 0x1p-11;
    EXPECT_FALSE(n.with(5, float(n.at(5) * (1 + step))));
    EXPECT_TRUE(n.with(5, n.at(5) + 2.0f));
  }
}

TEST(Expected, IsExactWhereNothingIsComputed) {
  Network n;
  n.g.add_output(n.b.transpose(n.input({3, 4}), {1, 0}));
  EXPECT_FALSE(n.with(2, n.at(2)));
  EXPECT_TRUE(n.with(2, n.at(2) * 1.00001f));
}

TEST(Expected, DoesNotJudgeWhatRoundingDecides) {
  Network n;
  const ValueId x = n.input({8});
  for (int64_t i = 0; i < 8; ++i) n.inputs[0].mutable_data<float>()[i] = i == 3 ? 1.0f : 0.5f;
  n.g.add_output(n.b.one("Floor", {n.b.mul(x, 1.0 + 0x1p-23)}));
  EXPECT_FALSE(n.with(3, 0.0f));
  EXPECT_TRUE(n.with(4, 1.0f));
}

TEST(Expected, NanMeetsNan) {
  Network n;
  const ValueId x = n.input({2});
  n.inputs[0].mutable_data<float>()[0] = -1;
  n.inputs[0].mutable_data<float>()[1] = 1;
  n.g.add_output(n.b.sqrt(x));
  EXPECT_TRUE(std::isnan(n.at(0)));
  EXPECT_FALSE(n.with(0, std::numeric_limits<float>::quiet_NaN()));
  EXPECT_TRUE(n.with(0, 0.0f));
  EXPECT_TRUE(n.with(1, std::numeric_limits<float>::quiet_NaN()));
  EXPECT_TRUE(n.with(1, std::numeric_limits<float>::infinity()));
}

TEST(Expected, CountsTypesAndShapes) {
  Network n;
  n.g.add_output(n.b.neg(n.input({2, 3})));
  const Expected want = expected(n.g, n.inputs);
  EXPECT_TRUE(difference(want, {}));
  EXPECT_TRUE(difference(want, std::vector<Tensor>{want.outputs[0].reshaped({3, 2})}));
  EXPECT_TRUE(difference(want, std::vector<Tensor>{want.outputs[0].cast(DType::f64)}));
}

TEST(Unfit, NamesWhatIsNotFinite) {
  Network n;
  const ValueId x = n.input({2});
  n.inputs[0].mutable_data<float>()[0] = -1;
  n.g.add_output(n.b.sqrt(x));
  const auto why = unfit(n.g, n.inputs);
  ASSERT_TRUE(why);
  EXPECT_NE(why->find("Sqrt"), std::string::npos);
  n.inputs[0].mutable_data<float>()[0] = 1;
  n.inputs[0].mutable_data<float>()[1] = 1;
  EXPECT_FALSE(unfit(n.g, n.inputs));
}

}  // namespace
}  // namespace espalier::fuzz
