// Changing an attribute may take results away that somebody reads; inferring types again then read
// behind the end of a list instead of saying so.
#include <gtest/gtest.h>

#include "base/error.h"
#include "ir/builder.h"
#include "ir/derive.h"
#include "ir/interpret.h"
#include "ir/room.h"

namespace espalier {
namespace {

TEST(Repro, ResultsThatGoAreAUserError) {
  Graph g;
  Builder b(g);
  const ValueId x = g.add_input("x", TensorType(DType::f32, Shape{2, 3}));
  Values in = {x};
  for (float v : {1.0f, 0.0f, 0.0f, 1.0f})
    in.push_back(b.constant(Tensor::from<float>({3}, {v, v, v})));
  const Values out = b.op("BatchNormalization", in, {{"training_mode", int64_t{1}}});
  for (ValueId v : out) g.add_output(v);
  Node& n = g.mutable_node(g.value(out[0]).producer);
  n.attrs = n.room->parse({{"training_mode", int64_t{0}}}, "here");
  EXPECT_THROW(reinfer(g), UserError);
}

}  // namespace
}  // namespace espalier
