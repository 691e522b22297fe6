// Bernoulli, ONNX opset 15: each element is 1 with the probability the operand gives, else 0.
#include "ops/random/draw.h"

namespace espalier::ops {
namespace {

struct Bernoulli {
  float seed = 0;
  std::optional<DType> dtype;
};

Types infer(const Bernoulli& a, const TypesIn& in) {
  require_float(in, 0);
  require_key(in, 1);
  const DType type = a.dtype.value_or(in[0].dtype);
  if (type == DType::string) in.fail("strings are not drawn");
  return {TensorType(type, in[0].dims)};
}

template <class Real>
void reference(const Bernoulli& a, Ref<Real>& r) {
  const Rng rng = generator(a.seed, r, 1);
  const auto p = r.real(0);
  const auto run = [&](auto y) {
    for (size_t i = 0; i < p.size(); ++i) y[i] = rng.uniform(i) < double(p[i]) ? 1 : 0;
  };
  if (r.out_is_real(0))
    run(r.out_real(0));
  else
    run(r.out_ints(0));
}

Cost cost(const Bernoulli&, const TypesIn& in, const Types& out) { return map_cost(30, in, out); }

}  // namespace

const Room& bernoulli() {
  static const Room room = make_room<Bernoulli>({
      .onnx = {"Bernoulli", 15},
      .arity = {1, 2},
      .attributes = {required("seed", &Bernoulli::seed), {"dtype", &Bernoulli::dtype}},
      .infer = infer,
      .reference = ESP_REFERENCE(Bernoulli, reference),
      .gradient = not_differentiable(),
      .cost = cost,
      .axes = axes_of_draws<Bernoulli>,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = draws_at_random(),
      .samples = {{{}, {OperandSpec::ranged({2, 5}, 0, 1)}},
                  {{3.0f, DType::i32}, {OperandSpec::ranged({7}, 0, 1), OperandSpec::list({1, 2})}},
                  {{0, DType::boolean}, {OperandSpec::ranged({0, 2}, 0, 1)}}},
      .random_key = 1,
  });
  return room;
}

}  // namespace espalier::ops
