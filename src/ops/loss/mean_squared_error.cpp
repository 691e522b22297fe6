// espalier.MeanSquaredError(prediction, target) -> loss []: the mean of squared differences over
// all elements.
#include "ops/common.h"
#include "ops/emit.h"

namespace espalier::ops {
namespace {

Types infer(const NoAttributes&, const TypesIn& in) {
  require_float(in, 0);
  require_same_dtype(in, 0, 2);
  bool fits = in[0].rank() == in[1].rank();
  for (size_t d = 0; fits && d < in[0].dims.size(); ++d) {
    const Dim &a = in[0].dims[d], &b = in[1].dims[d];
    fits = !a.known() || !b.known() || a == b;
    if (a.is(0)) in.fail("the mean over " + to_string(in[0]) + " is undefined");
  }
  if (!fits)
    in.fail("the prediction is " + to_string(in[0]) + " but the target is " + to_string(in[1]));
  return {TensorType(in[0].dtype, Dims{})};
}

template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  const auto p = r.real(0), t = r.real(1);
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    const double d = double(p[i]) - double(t[i]);
    sum += d * d;
  }
  r.out_real(0)[0] = Real(sum / double(p.size()));
}

// dp = 2 (p - t) / n * dy, dt = -dp
Values gradient(const NoAttributes&, Builder& b, const Tape& t) {
  const ValueId p = t.x(0);
  ValueId share = kNoValue;
  if (t.type_x(0).is_static())
    share = b.mul(t.dy(), 2.0 / double(t.type_x(0).numel()));
  else
    share = b.div(b.mul(t.dy(), 2), b.cast(b.one("Size", {p}), b.type(p).dtype));
  const ValueId d = b.mul(b.sub(p, t.x(1)), share);
  return {d, t.wants(1) ? b.neg(d) : kNoValue};
}

Cost cost(const NoAttributes&, const TypesIn& in, const Types& out) {
  return {0, 3 * double(in[0].numel()), traffic(in, out)};
}

AxisMap axes(const NoAttributes&, const TypesIn& in, const Types&) {
  AxisMap map;
  for (int64_t d = 0; d < in[0].rank(); ++d)
    if (in[0].dims[size_t(d)].known())
      map.ties.push_back(
          {in[0].dims[size_t(d)].value(), {AxisPlace::in(0, d), AxisPlace::in(1, d)}, true, true});
  return map;
}

void emit(const NoAttributes&, CWriter& c) {
  c.line(c_type(c.dtype(0)) + " sum = 0;");
  c.nest({c.size(0)}, {{0, {1}}}, [&](const std::vector<std::string>& at) {
    c.line("const " + c_type(c.dtype(0)) + " d = " + c.load(0, at[0]) + " - " + c.load(1, at[0]) +
           ";");
    c.line("sum += d * d;");
  });
  c.store(0, "0", "sum / " + std::to_string(c.size(0)));
}

}  // namespace

const Room& mean_squared_error() {
  static const Room room = make_room<NoAttributes>({
      .onnx = {"MeanSquaredError", 1, "espalier"},
      .arity = {2, 2},
      .infer = infer,
      .reference = ESP_REFERENCE(NoAttributes, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {OperandSpec::of({3, 2}), OperandSpec::of({3, 2})}},
                  {{}, {OperandSpec::of({}), OperandSpec::of({})}}},
  });
  return room;
}

}  // namespace espalier::ops
