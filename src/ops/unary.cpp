#include "ops/unary.h"
#include "ops/emit.h"

namespace espalier::ops {
namespace {

template <class Real>
void run(const UnaryOp& op, Real (*f)(Real), Ref<Real>& r) {
  if (r.is_real(0)) {
    unary_loop(r, f);
    return;
  }
  const auto x = r.ints(0);
  const auto y = r.out_ints(0);
  const bool is_unsigned = is_unsigned_int(r.dtype(0));
  for (size_t i = 0; i < x.size(); ++i) y[i] = op.integers(x[i], is_unsigned);
}

std::vector<SampleOf<NoAttributes>> samples_of(const UnaryOp& op) {
  std::vector<SampleOf<NoAttributes>> samples;
  for (const Shape& shape : {Shape{3, 5}, Shape{0, 3}, Shape{}})
    samples.push_back({{}, {OperandSpec::ranged(shape, op.lo, op.hi)}});
  if (op.integers) {
    samples.push_back({{}, {OperandSpec::ranged({7}, -9, 9, DType::i32)}});
    samples.push_back({{}, {OperandSpec::ranged({7}, -128, 127, DType::i8)}});
  }
  return samples;
}

}  // namespace

Room unary_room(UnaryOp op) {
  using None = NoAttributes;
  FacetOf<None, std::optional<ScalarOp>(const TypesIn&)> pointwise =
      Refuse{"no fused kernel evaluates it"};
  if (op.pointwise)
    pointwise = [code = *op.pointwise](const None&, const TypesIn&) { return ScalarOp{code}; };
  FacetOf<None, QuantForm(const TypesIn&)> quantize =
      Refuse{"its range or slope is too wide for 8 bits"};
  if (op.quantizes)
    quantize = [](const None&, const TypesIn&) { return QuantForm{.activations = {0}}; };
  FacetOf<None, void(CWriter&)> emit = Derive{};
  if (op.c) emit = [c = op.c](const None&, CWriter& writer) { writer.map(c); };
  return make_room<None>({
      .onnx = op.onnx,
      .arity = {1, 1},
      .infer =
          [op](const None&, const TypesIn& in) {
            if (op.integers)
              require_numeric(in, 0, 1);
            else
              require_float(in, 0);
            return same_as_input(in);
          },
      .reference =
          ReferenceOf<None>{[op](const None&, Ref<float>& r) { run(op, op.apply.f32, r); },
                            [op](const None&, Ref<double>& r) { run(op, op.apply.f64, r); }},
      .gradient = [op](const None&, Builder& b, const Tape& t) -> Values {
        return {op.gradient && t.wants(0) ? op.gradient(b, t) : kNoValue};
      },
      .cost = [op](const None&, const TypesIn& in,
                   const Types& out) { return map_cost(op.flops, in, out); },
      .axes = [op](const None&, const TypesIn& in,
                   const Types&) { return AxisMap::identity(in, op.zero_passes); },
      .quantize = quantize,
      .pointwise = pointwise,
      .expand = no_expand(),
      .emit = emit,
      .samples = samples_of(op),
      .kinks = op.kinks,
  });
}

}  // namespace espalier::ops
