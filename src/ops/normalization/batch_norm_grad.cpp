// espalier.BatchNormGrad(x, dy, scale, saved_mean, saved_inv_std) -> dx, dscale, dbias: the
// gradient of BatchNormalization in training mode, through its statistics as well. With n the
// elements of a channel and h = (x - saved_mean) saved_inv_std:
//   dbias = sum dy,  dscale = sum dy h,  dx = scale saved_inv_std (dy - dbias / n - h dscale / n).
#include "ops/common.h"
#include "ops/normalization/batch_normalization.h"
#include "ops/normalization/channels.h"

namespace espalier::ops {
namespace {

Types infer(const BatchNormGrad&, const TypesIn& in) {
  for (size_t i = 0; i < 5; ++i) require_float(in, i);
  require_same_dtype(in, 0, 2);
  if (in[0].rank() < 2)
    in.fail("operand 0 is " + to_string(in[0]) + ", batch and channel axes are needed");
  require_like_result(in, 1, in[0]);
  for (size_t i = 2; i < 5; ++i) {
    require_rank(in, i, 1);
    require_like_result(in, i, TensorType(in[i].dtype, Dims{in[0].dims[1]}));
  }
  return {in[0], in[2], in[2]};
}

template <class Real>
void reference(const BatchNormGrad&, Ref<Real>& r) {
  const Shape& shape = r.shape(0);
  const auto x = r.real(0), dy = r.real(1), scale = r.real(2), mean = r.real(3), inv = r.real(4);
  const auto dx = r.out_real(0), dscale = r.out_real(1), dbias = r.out_real(2);
  const double count = double(std::max<int64_t>(1, elements_per_channel(shape)));
  for (int64_t c = 0; c < shape[1]; ++c) {
    const auto at = size_t(c);
    const double m = double(mean[at]), s = double(inv[at]);
    double sum = 0, product = 0;
    for_each_of_channel(shape, c, [&](size_t i) {
      sum += double(dy[i]);
      product += double(dy[i]) * (double(x[i]) - m) * s;
    });
    for_each_of_channel(shape, c, [&](size_t i) {
      const double h = (double(x[i]) - m) * s;
      dx[i] = Real(double(scale[at]) * s * (double(dy[i]) - (sum + h * product) / count));
    });
    dscale[at] = Real(product);
    dbias[at] = Real(sum);
  }
}

void emit(const BatchNormGrad&, CWriter& c) {
  const DType t = c.dtype(0);
  const std::string real = c_type(t) + " ";
  const std::string count =
      c_literal(double(std::max<int64_t>(1, elements_per_channel(c.shape(0)))), t);
  const auto normalised = [&](const std::string& at) {
    return "(" + c.load(0, at) + " - mean) * inv_std";
  };
  c.overlay(0, 1);
  c.block(for_loop("c", c.shape(0)[1]), [&] {
    c.line("const " + real + "mean = " + c.load(3, "c") + ", inv_std = " + c.load(4, "c") + ";");
    c.line(real + "sum = 0, product = 0;");
    each_of_channel(c, [&](const std::string& at) {
      c.line("sum += " + c.load(1, at) + ";");
      c.line("product += " + c.load(1, at) + " * " + normalised(at) + ";");
    });
    if (c.wants(0))
      each_of_channel(c, [&](const std::string& at) {
        c.store(0, at,
                c.load(2, "c") + " * inv_std * (" + c.load(1, at) + " - (sum + " + normalised(at) +
                    " * product) / " + count + ")");
      });
    c.store(1, "c", "product");
    c.store(2, "c", "sum");
  });
}

Cost cost(const BatchNormGrad&, const TypesIn& in, const Types& out) {
  return map_cost(12, in, out);
}

}  // namespace

const Room& batch_norm_grad() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  const auto inv = [](int64_t n) { return OperandSpec::ranged({n}, 0.5, 2); };
  static const Room room = make_room<BatchNormGrad>({
      .onnx = {"BatchNormGrad", 1, "espalier"},
      .arity = {5, 5, 3, 3},
      .attributes = {{"epsilon", &BatchNormGrad::epsilon}},
      .infer = infer,
      .reference = ESP_REFERENCE(BatchNormGrad, reference),
      .gradient = Refuse{"a second derivative of a normalisation is not offered"},
      .cost = cost,
      .axes = Refuse{"cut the network before it is differentiated"},
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {x({2, 3, 2, 2}), x({2, 3, 2, 2}), x({3}), x({3}), inv(3)}},
                  {{}, {x({4, 2}), x({4, 2}), x({2}), x({2}), inv(2)}}},
  });
  return room;
}

}  // namespace espalier::ops
