// MaxUnpool, ONNX opset 11: the elements of X put back where MaxPool's Indices say they stood,
// zeros elsewhere. Indices count the positions of the whole result, as far as kernel, strides and
// pads give it; operand 2 asks for a larger one, which is that result with zeros behind it.
#include "base/error.h"
#include "ops/emit.h"
#include "ops/pool/pool.h"
#include "ops/shape/move.h"

namespace espalier::ops {
namespace {

/// What the window gives: (extent - 1) * stride + kernel - pads.
Dims unpooled_dims(const Window& a, const TypesIn& in) {
  const size_t spatial = spatial_dims(in[0]).size();
  if (a.kernel_shape.size() != spatial)
    in.fail("kernel_shape " + to_string(a.kernel_shape) + " is not for " + std::to_string(spatial) +
            " spatial axes");
  check_window(in, a, spatial);
  Dims dims = {in[0].dims[0], in[0].dims[1]};
  for (size_t d = 0; d < spatial; ++d) {
    const Dim& extent = in[0].dims[d + 2];
    if (!extent.known()) {
      dims.push_back(Dim::unknown());
      continue;
    }
    const int64_t stride = a.strides.empty() ? 1 : a.strides[d];
    const int64_t pads = a.pads.empty() ? 0 : a.pads[d] + a.pads[d + spatial];
    int64_t size = 0;
    if (__builtin_mul_overflow(extent.value() - 1, stride, &size) ||
        __builtin_add_overflow(size, a.kernel_shape[d], &size) ||
        __builtin_sub_overflow(size, pads, &size) || size < 0)
      in.fail("the window has no operand whose pool is " + to_string(in[0]));
    dims.emplace_back(size);
  }
  return dims;
}

Types infer(const Window& a, const TypesIn& in) {
  require_float(in, 0);
  if (in[0].rank() < 3)
    in.fail("operand 0 is " + to_string(in[0]), "spatial axes must follow batch and channel");
  if (in[1].dtype != DType::i64) in.fail("the indices are " + to_string(in[1]) + ", not i64");
  require_rank(in, 1, in[0].rank());
  for (size_t d = 0; d < in[0].dims.size(); ++d)
    if (in[0].dims[d].known() && in[1].dims[d].known() && !(in[0].dims[d] == in[1].dims[d]))
      in.fail("elements " + to_string(in[0]) + " and indices " + to_string(in[1]) + " differ");
  if (a.auto_pad != "NOTSET") in.fail("auto_pad is no attribute of MaxUnpool");
  Dims dims = unpooled_dims(a, in);
  if (!in.has(2)) return {TensorType(in[0].dtype, std::move(dims))};
  const auto wanted = list_of(in, 2);
  if (!wanted) return {TensorType(in[0].dtype, Dims(dims.size(), Dim::unknown()))};
  bool fits = wanted->size() == dims.size();
  for (size_t d = 0; fits && d < dims.size(); ++d)
    fits =
        (*wanted)[d] >= 0 &&
        (!dims[d].known() || (d < 2 ? dims[d].is((*wanted)[d]) : (*wanted)[d] >= dims[d].value()));
  if (!fits)
    in.fail("the result is " + to_string(TensorType(in[0].dtype, dims)) + ", it cannot become " +
            to_string(*wanted));
  return {TensorType(in[0].dtype, checked_extents(in, *wanted))};
}

/// The result's shape before operand 2 enlarges it.
Shape inner_shape(const Window& a, const TensorType& x) {
  const Type type = x;
  const Dims dims = unpooled_dims(a, TypesIn("MaxUnpool", {{&type}}));
  return TensorType(x.dtype, dims).shape();
}

template <class Real>
void reference(const Window& a, Ref<Real>& r) {
  const Shape inner = inner_shape(a, TensorType(r.dtype(0), r.shape(0)));
  const auto steps = strides_of(inner), outer_steps = strides_of(r.out_shape(0));
  const int64_t size = numel(inner);
  const auto x = r.real(0);
  const auto at = r.ints(1);
  const auto y = r.out_real(0);
  std::fill(y.begin(), y.end(), Real(0));
  for (size_t i = 0; i < x.size(); ++i) {
    if (at[i] < 0 || at[i] >= size)
      throw bad_input("MaxUnpool",
                      "the index " + std::to_string(at[i]) + " lies outside " + to_string(inner),
                      "indices count positions of the result that kernel and strides give");
    int64_t to = 0;
    for (size_t d = 0; d < inner.size(); ++d) to += at[i] / steps[d] % inner[d] * outer_steps[d];
    y[size_t(to)] = x[i];
  }
}

// Each element takes the gradient from where it was put.
Values gradient(const Window& a, Builder& b, const Tape& t) {
  if (!t.type_x(0).is_static())
    throw unsupported("MaxUnpool",
                      "the gradient over " + to_string(t.type_x(0)) + " needs its extents",
                      "specialise the graph first");
  const Shape inner = inner_shape(a, t.type_x(0));
  ValueId dy = t.dy();
  if (t.has(2)) {
    const std::vector<int64_t> zeros(inner.size(), 0);
    dy = b.one("Slice", {dy, b.ints(zeros), b.ints(inner)});
  }
  Values d(t.inputs(), kNoValue);
  d[0] = b.one("Gather", {b.reshape(dy, {numel(inner)}), t.x(1)});
  return d;
}

Cost cost(const Window&, const TypesIn& in, const Types& out) { return move_cost(in, out); }

// Indices count over all batches and channels: nothing can be cut.
AxisMap axes(const Window&, const TypesIn&, const Types&) { return {}; }

void emit(const Window& a, CWriter& c) {
  const Shape inner = inner_shape(a, c.types()[0]);
  const auto steps = strides_of(inner), outer_steps = strides_of(c.out_shape(0));
  c.fill("0");
  c.nest({c.size(0)}, {{0, {1}}}, [&](const std::vector<std::string>& i) {
    c.line("const int at = (int)" + c.load(1, i[0]) + ";");
    c.check("at >= 0 && at < " + std::to_string(numel(inner)));
    std::string to = "0";
    for (size_t d = 0; d < inner.size(); ++d)
      to = plus(to, "at / " + std::to_string(steps[d]) + " % " + std::to_string(inner[d]) + " * " +
                        std::to_string(outer_steps[d]));
    c.store(0, to, c.load(0, i[0]));
  });
}

}  // namespace

const Room& max_unpool() {
  const auto indices = [](Shape shape, std::initializer_list<int64_t> values) {
    return OperandSpec::fixed(Tensor::from<int64_t>(std::move(shape), values));
  };
  static const Room room = make_room<Window>({
      .onnx = {"MaxUnpool", 11},
      .arity = {2, 3},
      .attributes = {required("kernel_shape", &Window::kernel_shape),
                     {"pads", &Window::pads},
                     {"strides", &Window::strides}},
      .infer = infer,
      .reference = ESP_REFERENCE(Window, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{.kernel_shape = {2, 2}, .strides = {2, 2}},
                   {OperandSpec::of({1, 1, 2, 2}), indices({1, 1, 2, 2}, {5, 7, 13, 15})}},
                  {{.kernel_shape = {2, 2}, .strides = {2, 2}},
                   {OperandSpec::of({1, 1, 2, 2}), indices({1, 1, 2, 2}, {0, 7, 13, 10}),
                    OperandSpec::list({1, 1, 5, 4})}},
                  {{.kernel_shape = {3}, .strides = {2}, .pads = {1, 1}},
                   {OperandSpec::of({1, 2, 2}), indices({1, 2, 2}, {0, 2, 3, 5})}}},
  });
  return room;
}

}  // namespace espalier::ops
