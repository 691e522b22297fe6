// GlobalMaxPool, ONNX opset 1: the largest element over all spatial axes, whose extents become 1.
#include "ops/catalogue.h"
#include "ops/common.h"
#include "ops/emit.h"
#include "ops/pool/pool.h"

namespace espalier::ops {
namespace {

Types infer(const NoAttributes&, const TypesIn& in) {
  require_float(in, 0);
  for (const Dim& d : in[0].dims)
    if (d.is(0) && !in[0].dims[0].is(0)) in.fail("nothing is the largest of " + to_string(in[0]));
  return global_pool_result(in);
}

template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  const int64_t size = product(r.shape(0), 2, r.shape(0).size());
  const auto x = r.real(0);
  const auto y = r.out_real(0);
  for (size_t p = 0; p < y.size(); ++p)
    y[p] = *std::max_element(x.begin() + int64_t(p) * size, x.begin() + int64_t(p + 1) * size);
}

Values gradient(const NoAttributes&, Builder& b, const Tape& t) {
  const MaxPool a{whole_window(t.type_x(0), "GlobalMaxPool")};
  return b.op(max_pool_grad(), Attributes::of(a), {t.x(0), t.dy()});
}

Cost cost(const NoAttributes&, const TypesIn& in, const Types& out) {
  return {0, double(in[0].numel()), traffic(in, out)};
}

AxisMap axes(const NoAttributes&, const TypesIn& in, const Types&) { return pool_axes(in); }

QuantForm quantize(const NoAttributes&, const TypesIn&) {
  return {.activations = {0}, .result = QuantForm::Result::kSameAsInput};
}

void emit(const NoAttributes&, CWriter& c) {
  std::vector<bool> mask(c.shape(0).size(), true);
  mask[0] = mask[1] = false;
  c.reduce(mask, c.dtype(0), "-INFINITY", "x > acc ? x : acc", "acc");
}

}  // namespace

const Room& global_max_pool() {
  static const Room room = make_room<NoAttributes>({
      .onnx = {"GlobalMaxPool", 1},
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
