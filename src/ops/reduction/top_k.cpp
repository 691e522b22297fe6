// TopK, ONNX opset 11: the k largest (or smallest) elements along an axis, best first, and where
// they stand; of equals the one of lower index comes first. NaN counts as largest.
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "ops/common.h"
#include "ops/emit.h"

namespace espalier::ops {
namespace {

struct TopK {
  int64_t axis = -1;
  bool largest = true;
  bool sorted = true;
};

Types infer(const TopK& a, const TypesIn& in) {
  if (in[0].dtype == DType::string || in[0].dtype == DType::boolean)
    in.fail("cannot compare " + to_string(in[0]), "a numeric type is needed");
  if (in[1].dtype != DType::i64 || in[1].rank() > 1)
    in.fail("k is " + to_string(in[1]) + ", an i64 number is needed");
  TensorType out = in[0];
  Dim& d = out.dims[size_t(axis_of(in, 0, a.axis))];
  if (const Tensor* k = in.constant(1)) {
    if (k->size() != 1 || k->int_at(0) < 0) in.fail("k must be one number of at least 0");
    if (d.known() && k->int_at(0) > d.value())
      in.fail("k = " + std::to_string(k->int_at(0)) + " of an axis of extent " + to_string(d));
    d = Dim(k->int_at(0));
  } else {
    d = Dim::unknown();
  }
  const Dims dims = out.dims;
  return {std::move(out), TensorType(DType::i64, dims)};
}

template <class Real>
void reference(const TopK& a, Ref<Real>& r) {
  const Shape& shape = r.shape(0);
  const auto axis = size_t(normal_axis(a.axis, int64_t(shape.size()), "TopK"));
  const int64_t extent = shape[axis], inner = product(shape, axis + 1, shape.size());
  const int64_t k = r.out_shape(0)[axis], rows = extent == 0 ? 0 : numel(shape) / extent;
  const auto at = r.out_ints(1);
  const auto run = [&](auto x, auto y) {
    std::vector<int64_t> order(static_cast<size_t>(extent));
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t outer = row / inner, rest = row % inner;
      const auto value = [&](int64_t i) { return x[size_t((outer * extent + i) * inner + rest)]; };
      const auto less = [&](int64_t i, int64_t j) {
        const auto u = value(i), v = value(j);
        return u == u && (v != v || u < v);
      };
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(),
                       [&](int64_t i, int64_t j) { return a.largest ? less(j, i) : less(i, j); });
      for (int64_t i = 0; i < k; ++i) {
        const auto to = size_t((outer * k + i) * inner + rest);
        y[to] = value(order[size_t(i)]);
        at[to] = order[size_t(i)];
      }
    }
  };
  if (r.is_real(0))
    run(r.real(0), r.out_real(0));
  else
    run(r.ints(0), r.out_ints(0));
}

// dy goes where the elements came from.
Values gradient(const TopK& a, Builder& b, const Tape& t) {
  if (t.outputs() < 2 || t.y(1) == kNoValue)
    throw unsupported(t.node().name, "without its indices it cannot be differentiated");
  return {b.one("ScatterElements", {zeros_like(b, t.x(0)), t.y(1), t.dy(0)}, {{"axis", a.axis}}),
          kNoValue};
}

Cost cost(const TopK& a, const TypesIn& in, const Types& out) {
  const auto extent = double(in[0].dims[size_t(axis_of(in, 0, a.axis))].value());
  return {0, double(in[0].numel()) * std::log2(extent + 1), traffic(in, out)};
}

AxisMap axes(const TopK& a, const TypesIn& in, const Types&) {
  const int64_t axis = axis_of(in, 0, a.axis);
  AxisMap map;
  for (int64_t d = 0; d < in[0].rank(); ++d)
    if (d != axis && in[0].dims[size_t(d)].known())
      map.ties.push_back({in[0].dims[size_t(d)].value(),
                          {AxisPlace::in(0, d), AxisPlace::out(0, d), AxisPlace::out(1, d)},
                          false});
  return map;
}

void emit(const TopK& a, CWriter& c) {
  if (c.dtype(0) != DType::f32) c.refuse("its C function takes f32");
  const Shape shape = c.shape(0);
  const auto axis = size_t(normal_axis(a.axis, int64_t(shape.size()), "TopK"));
  const int64_t extent = shape[axis], inner = product(shape, axis + 1, shape.size());
  const int64_t k = c.out_shape(0)[axis];
  if (numel(shape) * k == 0) return;
  const std::string x = c.in(0);
  const std::string y = c.wants(0) ? c.out(0) : c.scratch(DType::f32, c.out_size(0));
  const std::string places = c.wants(1) ? c.out(1) : c.scratch(DType::i64, c.out_size(1));
  c.nest({numel(shape) / (extent * inner), inner}, {{0, {extent * inner, 1}}, {0, {k * inner, 1}}},
         [&](const std::vector<std::string>& at) {
           c.call("top_k.h", "esp_top_k_f32",
                  {std::to_string(extent), std::to_string(inner), std::to_string(k),
                   a.largest ? "1" : "0", x + " + " + at[0], y + " + " + at[1],
                   places + " + " + at[1]});
         });
}

}  // namespace

const Room& top_k() {
  static const Room room = make_room<TopK>({
      .onnx = {"TopK", 11},
      .arity = {2, 2, 2, 2},
      .attributes = {{"axis", &TopK::axis}, {"largest", &TopK::largest}, {"sorted", &TopK::sorted}},
      .infer = infer,
      .reference = ESP_REFERENCE(TopK, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {OperandSpec::of({3, 5}), OperandSpec::list({2})}},
                  {{0, false}, {OperandSpec::of({4, 2}), OperandSpec::list({3})}},
                  {{}, {OperandSpec::ranged({6}, 0, 2, DType::i32), OperandSpec::list({4})}}},
  });
  return room;
}

}  // namespace espalier::ops
