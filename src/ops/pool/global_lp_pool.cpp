// GlobalLpPool, ONNX opset 2: the p-norm over all spatial axes, whose extents become 1.
#include <cmath>

#include "ops/pool/pool.h"
#include "ops/reduction/lp.h"

namespace espalier::ops {
namespace {

struct GlobalLpPool {
  int64_t p = 2;
};

Types infer(const GlobalLpPool& a, const TypesIn& in) {
  require_float(in, 0);
  require_norm(in, a.p);
  return global_pool_result(in);
}

template <class Real>
void reference(const GlobalLpPool& a, Ref<Real>& r) {
  const int64_t size = product(r.shape(0), 2, r.shape(0).size());
  const auto x = r.real(0);
  const auto y = r.out_real(0);
  for (size_t plane = 0; plane < y.size(); ++plane) {
    double sum = 0;
    for (int64_t i = 0; i < size; ++i)
      sum += std::pow(std::abs(double(x[plane * size_t(size) + size_t(i)])), double(a.p));
    y[plane] = Real(std::pow(sum, 1 / double(a.p)));
  }
}

Values expand(const GlobalLpPool& a, Builder& b, const Values& in) {
  std::vector<int64_t> spatial;
  for (int64_t axis = 2; axis < b.type(in[0]).rank(); ++axis) spatial.push_back(axis);
  return {lp_norm(b, in[0], a.p, spatial)};
}

Cost cost(const GlobalLpPool&, const TypesIn& in, const Types& out) {
  return {0, 3 * double(in[0].numel()), traffic(in, out)};
}

AxisMap axes(const GlobalLpPool&, const TypesIn& in, const Types&) { return pool_axes(in); }

}  // namespace

const Room& global_lp_pool() {
  static const Room room = make_room<GlobalLpPool>({
      .onnx = {"GlobalLpPool", 2},
      .arity = {1, 1},
      .attributes = {{"p", &GlobalLpPool::p}},
      .infer = infer,
      .reference = ESP_REFERENCE(GlobalLpPool, reference),
      .gradient = Derive{},
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = expand,
      .emit = Derive{},
      .samples = {{{}, {OperandSpec::of({2, 3, 4, 5})}},
                  {{1}, {OperandSpec::of({2, 3, 6})}},
                  {{3}, {OperandSpec::of({1, 2, 3, 2})}},
                  {{}, {OperandSpec::of({0, 3, 2, 2})}}},
      .kinks = {0},
  });
  return room;
}

}  // namespace espalier::ops
