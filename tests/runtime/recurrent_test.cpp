// The recurrent loops where their blocks and tiles end: more units than a block, sequences beside a
// tile.
#include <gtest/gtest.h>

#include "base/rng.h"
#include "ir/builder.h"
#include "ir/interpret.h"
#include "ir/room.h"
#include "runtime/session.h"

namespace espalier {
namespace {

Tensor random(const Shape& shape, uint64_t stream) {
  const Rng rng(7, stream);
  Tensor t(DType::f32, shape);
  for (int64_t i = 0; i < t.size(); ++i)
    t.mutable_data<float>()[i] = float(rng.uniform(uint64_t(i), -0.5, 0.5));
  return t;
}

struct Form {
  std::string op;
  int64_t gates;
  bool linear = false;  ///< GRU: the reset gate follows the product
  size_t states() const { return op == "LSTM" ? 2 : 1; }
};

void PrintTo(const Form& form, std::ostream* os) {
  *os << form.op << (form.linear ? " linear" : "");
}

Graph network(const Form& form, const std::string& direction, int64_t batch, bool states,
              bool bias) {
  constexpr int64_t kTime = 4, kInput = 5, kHidden = 37;
  const int64_t d = direction == "bidirectional" ? 2 : 1;
  Graph g;
  Builder b(g);
  const auto constant = [&](const Shape& shape) {
    return b.constant(random(shape, uint64_t(numel(shape))));
  };
  Values operands = {g.add_input("x", TensorType(DType::f32, Shape{kTime, batch, kInput})),
                     constant({d, form.gates * kHidden, kInput}),
                     constant({d, form.gates * kHidden, kHidden}),
                     bias ? constant({d, 2 * form.gates * kHidden}) : kNoValue};
  if (states) {
    operands.push_back(kNoValue);
    for (size_t i = 0; i < form.states(); ++i)
      operands.push_back(g.add_input(i == 0 ? "first_h" : "first_c",
                                     TensorType(DType::f32, Shape{d, batch, kHidden})));
  }
  AttributeMap attributes = {{"direction", direction}, {"hidden_size", kHidden}};
  if (form.linear) attributes["linear_before_reset"] = int64_t{1};
  for (ValueId v : b.op(form.op, operands, attributes)) g.add_output(v);
  return g;
}

class Recurrent : public ::testing::TestWithParam<Form> {};

TEST_P(Recurrent, AgreesWithTheReference) {
  const Form& form = GetParam();
  for (const char* direction : {"forward", "reverse", "bidirectional"})
    for (int64_t batch : {1, 6, 9})
      for (bool states : {false, true})
        for (bool bias : {false, true})
          for (int threads : {1, 2}) {
            SCOPED_TRACE(std::string(direction) + " batch " + std::to_string(batch) +
                         (states ? " with states" : "") + (bias ? " with biases" : ""));
            const Graph g = network(form, direction, batch, states, bias);
            std::vector<Tensor> inputs;
            for (ValueId v : g.inputs())
              inputs.push_back(random(g.value(v).tensor().shape(), 3 + uint64_t(v)));
            const auto want = interpret(g, inputs);
            Session session(compile(g, {.threads = threads}));
            EXPECT_EQ(session.program().reference_count(), 0);
            const auto got = session.run(inputs);
            ASSERT_EQ(got.size(), 1 + form.states());
            for (size_t i = 0; i < got.size(); ++i)
              for (int64_t e = 0; e < got[i].size(); ++e)
                ASSERT_NEAR(got[i].at(e), want[i].at(e), 2e-6) << "result " << i << " at " << e;
            // Whatever is left in the arena, the next run gives the same bits.
            const auto again = session.run(inputs);
            for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(got[i].identical(again[i]));
          }
}

// One kernel for all steps: nothing is unrolled.
TEST_P(Recurrent, RunsAsOneNode) {
  const Form& form = GetParam();
  Session session(compile(network(form, "forward", 1, false, true), {.profile = true}));
  session.run({random({4, 1, 5}, 1)});
  ASSERT_EQ(session.profile().entries.size(), 1u);
}

INSTANTIATE_TEST_SUITE_P(Cells, Recurrent,
                         ::testing::Values(Form{"LSTM", 4}, Form{"GRU", 3}, Form{"GRU", 3, true},
                                           Form{"RNN", 1}),
                         [](const auto& form) {
                           return form.param.op + (form.param.linear ? "Linear" : "");
                         });

}  // namespace
}  // namespace espalier
