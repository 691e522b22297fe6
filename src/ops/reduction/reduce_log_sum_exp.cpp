// ReduceLogSumExp, ONNX opset 13: log(sum(exp(x))) over axes, computed from the largest element so
// that nothing overflows.
#include <cmath>
#include <limits>

#include "ops/emit.h"
#include "ops/reduction/reduce.h"

namespace espalier::ops {
namespace {

template <class Real>
void reference(const Reduce& a, Ref<Real>& r) {
  const auto mask = reduced_mask(a, r.tensor(0).rank());
  const auto x = r.real(0);
  const auto y = r.out_real(0);
  std::vector<double> top(y.size(), -std::numeric_limits<double>::infinity()), sum(y.size(), 0);
  for_each_reduced(r.shape(0), mask,
                   [&](size_t i, size_t o) { top[o] = std::max(top[o], double(x[i])); });
  // Infinite maxima would give inf - inf.
  for (double& t : top)
    if (std::isinf(t)) t = 0;
  for_each_reduced(r.shape(0), mask,
                   [&](size_t i, size_t o) { sum[o] += std::exp(double(x[i]) - top[o]); });
  for (size_t o = 0; o < y.size(); ++o) y[o] = Real(std::log(sum[o]) + top[o]);
}

// dx = dy * exp(x - y), the softmax.
Values gradient(const Reduce& a, Builder& b, const Tape& t) {
  const auto mask = reduced_mask(a, t);
  const ValueId y = unreduced(b, t.y(0), mask, a.keepdims);
  const ValueId dy = unreduced(b, t.dy(), mask, a.keepdims);
  return {b.mul(dy, b.exp(b.sub(t.x(0), y)))};
}

Cost cost(const Reduce&, const TypesIn& in, const Types& out) {
  return {0, double(4 * in[0].numel() + 2 * out[0].tensor().numel()), traffic(in, out)};
}

AxisMap axes(const Reduce& a, const TypesIn& in, const Types&) {
  return reduced_ties(in, reduced_mask(a, in), a.keepdims, ReducedAxis::kFixed, false);
}

void emit(const Reduce& a, CWriter& c) {
  const DType t = c.dtype(0);
  const std::string type = c_type(t);
  c.fold(
      reduced_mask(a, c.types()), [&] { c.line(type + " top = -INFINITY, sum = 0;"); },
      {[&](const std::string& at) {
         const std::string x = c.load(0, at);
         c.line("if (" + x + " > top) top = " + x + ";");
       },
       [&](const std::string& at) {
         c.line(with_suffix("sum += exp~(" + c.load(0, at) + " - (isinf(top) ? 0 : top));", t));
       }},
      [&](const std::string& at) {
        c.store(0, at, with_suffix("log~(sum) + (isinf(top) ? 0 : top)", t));
      });
}

}  // namespace

const Room& reduce_log_sum_exp() {
  static const Room room = make_room<Reduce>({
      .onnx = {"ReduceLogSumExp", 13},
      .arity = {1, 1},
      .attributes = {{"axes", &Reduce::axes}, {"keepdims", &Reduce::keepdims}},
      .infer = infer_reduce_float,
      .reference = ESP_REFERENCE(Reduce, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = reduction_samples(-1, 1),
  });
  return room;
}

}  // namespace espalier::ops
