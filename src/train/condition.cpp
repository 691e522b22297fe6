#include "train/condition.h"

#include <algorithm>
#include <numbers>

#include "base/error.h"
#include "base/rng.h"
#include "train/generator.h"

namespace espalier {

Tensor middle_condition(int64_t numbers) {
  Tensor t(DType::f32, {1, numbers});
  std::fill_n(t.mutable_data<float>(), numbers, 0.5F);
  return t;
}

void ConditionDraws::before_step(Trainer& trainer, const StepReport& coming) {
  Tensor t(DType::f32, {1, numbers_});
  const Rng rng(seed_, stream_of("conditions"));
  for (int64_t i = 0; i < numbers_; ++i)
    t.mutable_data<float>()[i] = float(rng.uniform(uint64_t(coming.step * numbers_ + i)));
  trainer.set_state(kCondition, t);
}

void ConditionDraws::after_step(Trainer& trainer, const StepReport& done) {
  if ((done.step + 1) % done.steps_per_epoch == 0)
    trainer.set_state(kCondition, middle_condition(numbers_));
}

namespace {

/// Positions (x, y) of all pixels between -1 and 1, [pixels, 2].
Tensor pixel_positions(int64_t size) {
  Tensor t(DType::f32, {size * size, 2});
  const double last = double(std::max<int64_t>(1, size - 1));
  for (int64_t i = 0; i < size * size; ++i) {
    t.mutable_data<float>()[2 * i] = float(2 * double(i % size) / last - 1);
    t.mutable_data<float>()[2 * i + 1] = float(2 * double(i / size) / last - 1);
  }
  return t;
}

}  // namespace

Graph with_turned_input(const Graph& network, double from, double to) {
  Graph g = network;
  const ValueId condition = g.find(kCondition);
  if (condition == kNoValue || g.value(condition).role != Role::kBuffer)
    throw bad_input(g.name, "has no condition of numbers to turn its pictures by");
  const TensorType type = g.value(g.inputs()[0]).tensor();
  if (g.inputs().size() != 1 || type.rank() != 4 || !type.dims[1].known() ||
      !type.dims[2].known() || type.dims[2] != type.dims[3])
    throw unsupported(g.name, "takes " + to_string(type) + "; square pictures can be turned");
  const int64_t channels = type.dims[1].value(), size = type.dims[2].value();
  const ValueId x = g.inputs()[0];
  const auto first_new = NodeId(g.node_count());
  Builder b(g);
  constexpr double kDegree = std::numbers::pi / 180;
  const int64_t numbers = g.value(condition).tensor().dims[1].value();
  const ValueId c =
      numbers == 1 ? condition : b.one("Gather", {condition, b.ints({0})}, {{"axis", int64_t{1}}});
  const ValueId angle = b.add(b.mul(c, (to - from) * kDegree), from * kDegree);  // [1, 1]
  const ValueId cosine = b.one("Cos", {angle}), sine = b.one("Sin", {angle});
  // Where each pixel comes from: (x cos - y sin, x sin + y cos), y downwards.
  const AttributeMap rows = {{"axis", int64_t{0}}}, columns = {{"axis", int64_t{1}}};
  const ValueId turn = b.one(
      "Concat",
      {b.one("Concat", {cosine, sine}, columns), b.one("Concat", {b.neg(sine), cosine}, columns)},
      rows);
  const ValueId grid =
      b.reshape(b.matmul(b.constant(pixel_positions(size)), turn), {1, size, size, 2});
  // All samples and channels are channels of one picture: they share the grid.
  const ValueId stacked = b.reshape(x, {1, -1, size, size});
  const ValueId turned =
      b.one("GridSample", {stacked, grid},
            {{"align_corners", int64_t{1}}, {"padding_mode", std::string("border")}});
  const ValueId pictures = b.reshape(turned, {-1, channels, size, size});
  replace_reads(g, x, pictures, first_new);
  g.sort();
  return g;
}

}  // namespace espalier
