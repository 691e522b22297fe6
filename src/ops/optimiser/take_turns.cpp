// espalier.TakeTurns(step []) -> i64 [count]: which of 0 … of-1 have their turn, ascending. Turns
// last `every` steps; each index has one before any has its second, in orders drawn by `seed`. What
// optimisers choose blocks and rows by.
#include "kernels/preconditioner.h"
#include "ops/optimiser/refresh.h"
#include "ops/optimiser/step.h"

namespace espalier::ops {
namespace {

struct TakeTurns {
  int64_t of = 1;
  int64_t count = 1;
  int64_t every = 200;
  int64_t seed = 0;
};

/// More blocks or rows than any parameter has.
constexpr int64_t kMost = int64_t{1} << 24;

Types infer(const TakeTurns& a, const TypesIn& in) {
  if (a.of < 1 || a.of > kMost)
    in.fail("'of' is " + std::to_string(a.of) + ", it must lie between 1 and " +
            std::to_string(kMost));
  if (a.count < 1 || a.count > a.of)
    in.fail("count is " + std::to_string(a.count) + ", it must lie between 1 and 'of', " +
            std::to_string(a.of));
  require_step(in, 0, a.every);
  return {TensorType(DType::i64, Shape{a.count})};
}

template <class Real>
void reference(const TakeTurns& a, Ref<Real>& r) {
  const int64_t step = step_number(r.tensor(0), "TakeTurns");
  std::ranges::copy(kernels::turn(a.of, a.count, uint64_t(a.seed), (step - 1) / a.every),
                    r.out_ints(0).begin());
}

/// A permutation.
Cost cost(const TakeTurns& a, const TypesIn& in, const Types& out) {
  return {0, 60 * double(a.of), traffic(in, out)};
}

AxisMap axes(const TakeTurns&, const TypesIn&, const Types&) { return no_axes(); }

}  // namespace

const Room& take_turns() {
  const auto step = [](int64_t n) { return OperandSpec::fixed(Tensor::scalar<int64_t>(n)); };
  static const Room room = make_room<TakeTurns>({
      .onnx = {"TakeTurns", 1, "espalier"},
      .arity = {1, 1},
      .attributes = {required("of", &TakeTurns::of),
                     {"count", &TakeTurns::count},
                     {"every", &TakeTurns::every},
                     {"seed", &TakeTurns::seed}},
      .infer = infer,
      .reference = ESP_REFERENCE(TakeTurns, reference),
      .gradient = step_gradient(),
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = Refuse{"is not written in C yet"},
      .samples = {{{7, 3, 2, 5}, {step(3)}}, {{4, 4}, {step(1)}}, {{1}, {step(900)}}},
  });
  return room;
}

}  // namespace espalier::ops
