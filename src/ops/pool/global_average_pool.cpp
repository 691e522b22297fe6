// GlobalAveragePool, ONNX opset 1: the mean over all spatial axes, whose extents become 1.
#include "ops/catalogue.h"
#include "ops/common.h"
#include "ops/emit.h"
#include "ops/pool/pool.h"

namespace espalier::ops {
namespace {

Types infer(const NoAttributes&, const TypesIn& in) {
  require_float(in, 0);
  return global_pool_result(in);
}

template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  const int64_t size = product(r.shape(0), 2, r.shape(0).size());
  const auto x = r.real(0);
  const auto y = r.out_real(0);
  for (size_t p = 0; p < y.size(); ++p) {
    double sum = 0;
    for (int64_t i = 0; i < size; ++i) sum += double(x[p * size_t(size) + size_t(i)]);
    y[p] = Real(sum / double(std::max<int64_t>(1, size)));
  }
}

Values gradient(const NoAttributes&, Builder& b, const Tape& t) {
  const AveragePool a{whole_window(t.type_x(0), "GlobalAveragePool")};
  return b.op(average_pool_grad(), Attributes::of(a), {t.dy(), shape_of(b, t.x(0))});
}

Cost cost(const NoAttributes&, const TypesIn& in, const Types& out) {
  return {0, double(in[0].numel()), traffic(in, out)};
}

AxisMap axes(const NoAttributes&, const TypesIn& in, const Types&) { return pool_axes(in); }

QuantForm quantize(const NoAttributes&, const TypesIn&) { return {.activations = {0}}; }

void emit(const NoAttributes&, CWriter& c) {
  std::vector<bool> mask(c.shape(0).size(), true);
  mask[0] = mask[1] = false;
  c.reduce(mask, c.dtype(0), "0", "acc + x", "acc / @");
}

}  // namespace

const Room& global_average_pool() {
  static const Room room = make_room<NoAttributes>({
      .onnx = {"GlobalAveragePool", 1},
      .arity = {1, 1},
      .infer = infer,
      .reference = ESP_REFERENCE(NoAttributes, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = quantize,
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {OperandSpec::of({2, 3, 4, 5})}},
                  {{}, {OperandSpec::of({2, 3, 6})}},
                  {{}, {OperandSpec::of({0, 3, 2, 2})}}},
  });
  return room;
}

}  // namespace espalier::ops
