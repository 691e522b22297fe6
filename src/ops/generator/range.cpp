// Range, ONNX opset 11: start, start + delta, … before limit; scalars of one numeric type.
#include <cmath>

#include "base/error.h"
#include "ops/common.h"
#include "ops/emit.h"

namespace espalier::ops {
namespace {

/// max(ceil((limit - start) / delta), 0)
int64_t count(const Tensor& start, const Tensor& limit, const Tensor& delta,
              const std::string& where) {
  double n = 0;
  if (is_float(start.dtype())) {
    n = std::ceil((limit.at(0) - start.at(0)) / delta.at(0));
  } else if (const int64_t step = delta.int_at(0); step != 0) {
    // In the widest type: differences of i64 may not fit it.
    const __int128 distance = __int128(limit.int_at(0)) - start.int_at(0);
    const __int128 steps = distance / step + (distance % step != 0 && (distance < 0) == (step < 0));
    n = double(steps);
  } else {
    n = std::nan("");
  }
  if (!(n <= 1e15))
    throw bad_input(where, "the range from " + std::to_string(start.at(0)) + " to " +
                               std::to_string(limit.at(0)) + " in steps of " +
                               std::to_string(delta.at(0)) + " has no end");
  return n > 0 ? int64_t(n) : 0;
}

Types infer(const NoAttributes&, const TypesIn& in) {
  require_same_dtype(in, 0, 3);
  if (in[0].dtype == DType::string || in[0].dtype == DType::boolean)
    in.fail("cannot count in " + std::string(name_of(in[0].dtype)));
  for (size_t i = 0; i < 3; ++i) require_rank(in, i, 0);
  Dim extent = Dim::unknown();
  if (in.constant(0) && in.constant(1) && in.constant(2))
    extent = Dim(count(*in.constant(0), *in.constant(1), *in.constant(2), in.where()));
  return {TensorType(in[0].dtype, Dims{extent})};
}

template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  const auto run = [](auto start, auto delta, auto y) {
    for (size_t i = 0; i < y.size(); ++i)
      y[i] = start + decltype(start)(static_cast<int64_t>(i)) * delta;
  };
  if (r.is_real(0))
    run(r.real(0)[0], r.real(2)[0], r.out_real(0));
  else
    run(r.ints(0)[0], r.ints(2)[0], r.out_ints(0));
}

Cost cost(const NoAttributes&, const TypesIn& in, const Types& out) { return map_cost(2, in, out); }

AxisMap axes(const NoAttributes&, const TypesIn&, const Types&) { return {}; }

void emit(const NoAttributes&, CWriter& c) {
  c.nest({c.out_size(0)}, {{0, {1}}}, [&](const std::vector<std::string>& at) {
    c.store(0, at[0],
            c.load(0, "0") + " + (" + c_type(c.dtype(0)) + ")" + at[0] + " * " + c.load(2, "0"));
  });
}

}  // namespace

const Room& range() {
  static const Room room = make_room<NoAttributes>({
      .onnx = {"Range", 11},
      .arity = {3, 3},
      .infer = infer,
      .reference = ESP_REFERENCE(NoAttributes, reference),
      .gradient = not_differentiable(),
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{},
                   {OperandSpec::fixed(Tensor::scalar<int64_t>(10)),
                    OperandSpec::fixed(Tensor::scalar<int64_t>(3)),
                    OperandSpec::fixed(Tensor::scalar<int64_t>(-2))}},
                  {{},
                   {OperandSpec::fixed(Tensor::scalar(0.f)),
                    OperandSpec::fixed(Tensor::scalar(1.1f)),
                    OperandSpec::fixed(Tensor::scalar(0.25f))}},
                  {{},
                   {OperandSpec::fixed(Tensor::scalar<int32_t>(5)),
                    OperandSpec::fixed(Tensor::scalar<int32_t>(5)),
                    OperandSpec::fixed(Tensor::scalar<int32_t>(1))}}},
  });
  return room;
}

}  // namespace espalier::ops
