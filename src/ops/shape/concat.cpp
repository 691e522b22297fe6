// Concat, ONNX opset 13: operands one after another along one axis.
#include "ops/emit.h"
#include "ops/shape/move.h"

namespace espalier::ops {
namespace {

struct Concat {
  int64_t axis = 0;
};

Types infer(const Concat& a, const TypesIn& in) {
  require_same_dtype(in, 0, in.size());
  const auto axis = size_t(axis_of(in, 0, a.axis));
  TensorType out = in[0];
  for (size_t i = 1; i < in.size(); ++i) {
    require_rank(in, i, out.rank());
    for (size_t d = 0; d < out.dims.size(); ++d) {
      Dim& have = out.dims[d];
      const Dim& more = in[i].dims[d];
      if (d == axis)
        have = have.known() && more.known() ? Dim(have.value() + more.value()) : Dim::unknown();
      else if (have.known() && more.known() && !(have == more))
        in.fail("operands " + to_string(in[0]) + " and " + to_string(in[i]) + " differ in axis " +
                std::to_string(d));
      else if (more.known())
        have = more;
    }
  }
  return {std::move(out)};
}

template <class Real>
void reference(const Concat& a, Ref<Real>& r) {
  const auto strides = strides_of(r.out_shape(0));
  const auto axis = size_t(normal_axis(a.axis, int64_t(strides.size()), "Concat"));
  int64_t offset = 0;
  for (size_t i = 0; i < r.inputs(); ++i) {
    copy_block(r.tensor(i), {0, strides_of(r.shape(i))}, r.out_tensor(0), {offset, strides},
               r.shape(i));
    offset += r.shape(i)[axis] * strides[axis];
  }
}

// Each operand gets its segment of dy back.
Values gradient(const Concat& a, Builder& b, const Tape& t) {
  const auto axis = size_t(normal_axis(a.axis, t.type_y(0).rank(), "Concat"));
  std::vector<int64_t> sizes;
  Values parts;
  for (size_t i = 0; i < t.inputs(); ++i) {
    const Dim d = t.type_x(i).dims[axis];
    if (d.known()) sizes.push_back(d.value());
    const auto at = int64_t(axis);
    parts.push_back(d.known() ? b.ints({d.value()})
                              : b.one("Shape", {t.x(i)}, {{"start", at}, {"end", at + 1}}));
  }
  const ValueId split =
      sizes.size() == t.inputs() ? b.ints(sizes) : b.one("Concat", parts, {{"axis", int64_t{0}}});
  return b.op("Split", {t.dy(), split}, {{"axis", int64_t(axis)}});
}

AxisMap axes(const Concat& a, const TypesIn& in, const Types& out) {
  const TensorType& y = out[0].tensor();
  const int64_t axis = axis_of(in, 0, a.axis);
  AxisMap map;
  for (int64_t d = 0; d < y.rank(); ++d) {
    if (!y.dims[size_t(d)].known()) continue;
    if (d != axis) {
      AxisTie tie{y.dims[size_t(d)].value(), {AxisPlace::out(0, d)}};
      for (size_t i = 0; i < in.size(); ++i) tie.places.push_back(AxisPlace::in(int(i), d));
      map.ties.push_back(std::move(tie));
      continue;
    }
    int64_t offset = 0;
    for (size_t i = 0; i < in.size(); ++i) {
      const int64_t extent = in[i].dims[size_t(d)].value();
      map.ties.push_back({extent, {AxisPlace::in(int(i), d), AxisPlace::out(0, d, 1, 1, offset)}});
      offset += extent;
    }
  }
  return map;
}

// Operands have scales of their own, so the result gets one too.
QuantForm quantize(const Concat&, const TypesIn& in) {
  QuantForm form;
  for (size_t i = 0; i < in.size(); ++i) form.activations.push_back(int(i));
  return form;
}

void emit(const Concat& a, CWriter& c) {
  const auto strides = strides_of(c.out_shape(0));
  const auto axis = size_t(normal_axis(a.axis, int64_t(strides.size()), "Concat"));
  int64_t offset = 0;
  for (size_t i = 0; i < c.inputs(); ++i) {
    c.copy(i, {0, strides_of(c.shape(i))}, 0, {offset, strides}, c.shape(i));
    offset += c.shape(i)[axis] * strides[axis];
  }
}

}  // namespace

const Room& concat() {
  static const Room room = make_room<Concat>({
      .onnx = {"Concat", 13},
      .arity = {1, kVariadic},
      .attributes = {required("axis", &Concat::axis)},
      .infer = infer,
      .reference = ESP_REFERENCE(Concat, reference),
      .gradient = gradient,
      .cost = moves<Concat>,
      .axes = axes,
      .quantize = quantize,
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{1},
                   {OperandSpec::of({2, 3, 2}), OperandSpec::of({2, 1, 2}),
                    OperandSpec::of({2, 4, 2})}},
                  {{-1}, {OperandSpec::of({3, 2}), OperandSpec::of({3, 0})}},
                  {{0}, {OperandSpec::of({2})}},
                  {{0},
                   {OperandSpec::fixed(Tensor::from<std::string>({1}, {"left"})),
                    OperandSpec::fixed(Tensor::from<std::string>({1}, {"right"}))}}},
  });
  return room;
}

}  // namespace espalier::ops
