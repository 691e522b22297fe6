// The LSTM loop where its blocks and tiles end: more units than a block, sequences beside a tile.
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

Graph lstm(const std::string& direction, int64_t batch, bool states) {
  constexpr int64_t kTime = 4, kInput = 5, kHidden = 37;
  const int64_t d = direction == "bidirectional" ? 2 : 1;
  Graph g;
  Builder b(g);
  const auto constant = [&](const Shape& shape) {
    return b.constant(random(shape, uint64_t(numel(shape))));
  };
  Values operands = {g.add_input("x", TensorType(DType::f32, Shape{kTime, batch, kInput})),
                     constant({d, 4 * kHidden, kInput}), constant({d, 4 * kHidden, kHidden}),
                     constant({d, 8 * kHidden})};
  if (states) {
    operands.push_back(kNoValue);
    for (const char* name : {"first_h", "first_c"})
      operands.push_back(g.add_input(name, TensorType(DType::f32, Shape{d, batch, kHidden})));
  }
  for (ValueId v : b.op("LSTM", operands, {{"direction", direction}, {"hidden_size", kHidden}}))
    g.add_output(v);
  return g;
}

TEST(Recurrent, LstmAgreesWithTheReference) {
  for (const char* direction : {"forward", "reverse", "bidirectional"})
    for (int64_t batch : {1, 4, 6})
      for (bool states : {false, true})
        for (int threads : {1, 2}) {
          SCOPED_TRACE(std::string(direction) + " batch " + std::to_string(batch) +
                       (states ? " with states" : ""));
          const Graph g = lstm(direction, batch, states);
          std::vector<Tensor> inputs;
          for (ValueId v : g.inputs())
            inputs.push_back(random(g.value(v).tensor().shape(), 3 + uint64_t(v)));
          const auto want = interpret(g, inputs);
          Session session(compile(g, {.threads = threads}));
          EXPECT_EQ(session.program().reference_count(), 0);
          const auto got = session.run(inputs);
          ASSERT_EQ(got.size(), 3u);
          for (size_t i = 0; i < got.size(); ++i)
            for (int64_t e = 0; e < got[i].size(); ++e)
              ASSERT_NEAR(got[i].at(e), want[i].at(e), 2e-6) << "result " << i << " at " << e;
          // Whatever is left in the arena, the next run gives the same bits.
          const auto again = session.run(inputs);
          for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(got[i].identical(again[i]));
        }
}

}  // namespace
}  // namespace espalier
