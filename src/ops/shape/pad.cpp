// Pad, ONNX opset 19: elements added before and after each axis (or each axis named by the fourth
// operand); negative amounts remove elements. Modes: constant (third operand, zero without it),
// reflect (mirrored without repeating the border), edge (the border repeated), wrap (from the other
// end).
// espalier.PadGrad(dy, shape, pads): zeros of that shape, with every element of dy added where Pad
// read it in the other modes.
#include "base/error.h"
#include "ops/emit.h"
#include "ops/shape/move.h"

namespace espalier::ops {
namespace {

struct Pad {
  std::string mode = "constant";
};

/// Amounts before and after each axis of the operand.
struct Amounts {
  std::vector<int64_t> before, after;
};

Amounts amounts(const std::vector<int64_t>& pads, const std::vector<int64_t>* axes, int64_t rank,
                const std::string& where) {
  const size_t n = axes ? axes->size() : size_t(rank);
  if (pads.size() != 2 * n)
    throw bad_input(where, "pads " + to_string(pads) + " are not two for each of " +
                               std::to_string(n) + " axes");
  Amounts a{std::vector<int64_t>(size_t(rank), 0), std::vector<int64_t>(size_t(rank), 0)};
  for (size_t i = 0; i < n; ++i) {
    const auto axis = axes ? size_t(normal_axis((*axes)[i], rank, where)) : i;
    a.before[axis] = pads[i];
    a.after[axis] = pads[n + i];
  }
  return a;
}

/// The amounts of a node, or nothing while they are unknown.
std::optional<Amounts> known_amounts(const TypesIn& in) {
  const auto pads = list_of(in, 1);
  const auto axes = in.has(3) ? list_of(in, 3) : std::nullopt;
  if (!pads || (in.has(3) && !axes)) return std::nullopt;
  if (axes) axis_mask(in, *axes, in[0].rank());
  return amounts(*pads, axes ? &*axes : nullptr, in[0].rank(), in.where());
}

int64_t padded(int64_t extent, int64_t before, int64_t after, const std::string& where) {
  int64_t sum = 0;
  if (__builtin_add_overflow(extent, before, &sum) || __builtin_add_overflow(sum, after, &sum) ||
      sum < 0)
    throw bad_input(where, "pads of " + std::to_string(before) + " and " + std::to_string(after) +
                               " do not fit an extent of " + std::to_string(extent));
  return sum;
}

void check_mode(const Pad& a, const TypesIn& in) {
  if (a.mode != "constant" && a.mode != "reflect" && a.mode != "edge" && a.mode != "wrap")
    in.fail("mode '" + a.mode + "' is not known", "known: constant, reflect, edge, wrap");
}

/// The padded extent; UserError where the mode has nothing to pad with.
int64_t padded(const Pad& a, const TypesIn& in, int64_t extent, int64_t before, int64_t after) {
  const int64_t most = std::max(before, after);
  if (a.mode == "reflect" && most >= std::max<int64_t>(extent, 1))
    in.fail("cannot reflect " + std::to_string(most) + " elements of an extent of " +
            std::to_string(extent));
  if ((a.mode == "edge" || a.mode == "wrap") && extent == 0 && most > 0)
    in.fail("an empty axis has nothing to pad with");
  return padded(extent, before, after, in.where());
}

Types infer(const Pad& a, const TypesIn& in) {
  check_mode(a, in);
  if (in.has(2) &&
      (in[2].dtype != in[0].dtype || in[2].rank() > 1 || (in[2].is_static() && in[2].numel() != 1)))
    in.fail("the padding value is " + to_string(in[2]) + ", one " +
            std::string(name_of(in[0].dtype)) + " is needed");
  TensorType out = in[0];
  const auto pads = known_amounts(in);
  for (size_t d = 0; d < out.dims.size(); ++d) {
    if (pads && pads->before[d] == 0 && pads->after[d] == 0) continue;
    if (!pads || !out.dims[d].known()) {
      out.dims[d] = Dim::unknown();
      continue;
    }
    out.dims[d] = Dim(padded(a, in, out.dims[d].value(), pads->before[d], pads->after[d]));
  }
  return {std::move(out)};
}

/// Where each padded position of an axis reads, or -1 for the padding value.
std::vector<int64_t> sources(const Pad& a, int64_t extent, int64_t before, int64_t after) {
  std::vector<int64_t> from;
  for (int64_t i = -before; i < extent + after; ++i) {
    int64_t at = i;
    if (i < 0 || i >= extent) {
      if (a.mode == "constant")
        at = -1;
      else if (a.mode == "edge")
        at = std::clamp<int64_t>(i, 0, extent - 1);
      else if (a.mode == "wrap")
        at = (i % extent + extent) % extent;
      else
        at = i < 0 ? -i : 2 * (extent - 1) - i;
    }
    from.push_back(at);
  }
  return from;
}

/// Calls f(padded element, operand element or -1) for every padded element.
template <class F>
void for_each_padded(const Pad& a, const Amounts& pads, const Shape& shape, F f) {
  std::vector<std::vector<int64_t>> from;
  Shape big;
  for (size_t d = 0; d < shape.size(); ++d) {
    from.push_back(sources(a, shape[d], pads.before[d], pads.after[d]));
    big.push_back(int64_t(from[d].size()));
  }
  const auto strides = strides_of(shape);
  std::vector<int64_t> index(shape.size(), 0);
  for (int64_t i = 0, n = numel(big); i < n; ++i) {
    int64_t at = 0;
    for (size_t d = 0; d < shape.size() && at >= 0; ++d)
      at = from[d][size_t(index[d])] < 0 ? -1 : at + from[d][size_t(index[d])] * strides[d];
    f(i, at);
    for (size_t d = shape.size(); d-- > 0;) {
      if (++index[d] < big[d]) break;
      index[d] = 0;
    }
  }
}

template <class Real>
void reference(const Pad& a, Ref<Real>& r) {
  if (numel(r.out_shape(0)) == 0) return;
  const int64_t rank = r.tensor(0).rank();
  const auto axes = r.has(3) ? r.tensor(3).to_i64() : std::vector<int64_t>();
  const Amounts pads = amounts(r.tensor(1).to_i64(), r.has(3) ? &axes : nullptr, rank, "Pad");
  const ElementCopier copy(r.tensor(0), r.out_tensor(0));
  const Tensor value = r.has(2) ? r.tensor(2) : Tensor(r.dtype(0), Shape{1});
  const ElementCopier fill(value, r.out_tensor(0));
  for_each_padded(a, pads, r.shape(0), [&](int64_t to, int64_t from) {
    if (from < 0)
      fill(to, 0);
    else
      copy(to, from);
  });
}

// Constant padding is cut off again, and what fell on it is the padding value's gradient; the other
// modes add up what was copied.
Values gradient(const Pad& a, Builder& b, const Tape& t) {
  const Node& node = t.node();
  const auto pads = known_amounts(types_in(t.graph(), *node.room, node.inputs, node.name));
  if (!pads)
    throw unsupported(node.name, "the amounts of padding are not known when it is differentiated");
  std::vector<int64_t> list = pads->before, back;
  list.insert(list.end(), pads->after.begin(), pads->after.end());
  for (int64_t p : list) back.push_back(-p);
  Values d(t.inputs(), kNoValue);
  d[0] = a.mode == "constant"
             ? b.one("Pad", {t.dy(), b.ints(back)})
             : b.one("espalier.PadGrad", {t.dy(), shape_of(b, t.x(0)), b.ints(list)},
                     {{"mode", a.mode}});
  if (t.wants(2)) {
    const AttributeMap flat = {{"keepdims", int64_t{0}}};
    const ValueId sum = b.sub(b.one("ReduceSum", {t.dy()}, flat), b.one("ReduceSum", {d[0]}, flat));
    d[2] =
        a.mode == "constant" ? b.one("Reshape", {sum, shape_of(b, t.x(2))}) : zeros_like(b, t.x(2));
  }
  return d;
}

// Axes without padding pass; zeros do unless something else than zero stands around them.
AxisMap axes(const Pad& a, const TypesIn& in, const Types&) {
  const auto pads = known_amounts(in);
  if (!pads) return {};
  bool zero = a.mode != "constant" || !in.has(2);
  if (const Tensor* value = in.constant(2);
      value && value->size() == 1 && value->dtype() != DType::string)
    zero = zero || value->at(0) == 0;
  AxisMap map;
  for (int64_t d = 0; d < in[0].rank(); ++d)
    if (pads->before[size_t(d)] == 0 && pads->after[size_t(d)] == 0 &&
        in[0].dims[size_t(d)].known())
      map.ties.push_back(
          {in[0].dims[size_t(d)].value(), {AxisPlace::in(0, d), AxisPlace::out(0, d)}, zero});
  return map;
}

// ---- PadGrad ------------------------------------------------------------------------------------

Types infer_grad(const Pad& a, const TypesIn& in) {
  require_float(in, 0);
  check_mode(a, in);
  if (a.mode == "constant") in.fail("constant padding is undone by Pad");
  const auto shape = list_of(in, 1);
  const auto pads = list_of(in, 2);
  if (!shape) return {TensorType(in[0].dtype, Dims(size_t(in[0].rank()), Dim::unknown()))};
  require_rank(in, 0, int64_t(shape->size()));
  Dims dims = checked_extents(in, *shape);
  if (pads) {
    const Amounts known = amounts(*pads, nullptr, in[0].rank(), in.where());
    for (size_t d = 0; d < dims.size(); ++d) {
      const int64_t big = padded(a, in, (*shape)[d], known.before[d], known.after[d]);
      if (in[0].dims[d].known() && !in[0].dims[d].is(big))
        in.fail(to_string(*shape) + " padded by " + to_string(*pads) + " is not " +
                to_string(in[0]));
    }
  }
  return {TensorType(in[0].dtype, std::move(dims))};
}

template <class Real>
void reference_grad(const Pad& a, Ref<Real>& r) {
  const auto dy = r.real(0);
  const auto dx = r.out_real(0);
  const Amounts pads = amounts(r.tensor(2).to_i64(), nullptr, r.tensor(0).rank(), "PadGrad");
  for_each_padded(a, pads, r.out_shape(0),
                  [&](int64_t from, int64_t to) { dx[size_t(to)] += dy[size_t(from)]; });
}

Values gradient_grad(const Pad& a, Builder& b, const Tape& t) {
  return {b.one("Pad", {t.dy(), t.x(2)}, {{"mode", a.mode}}), kNoValue, kNoValue};
}

Cost cost_grad(const Pad&, const TypesIn& in, const Types& out) {
  return {0, double(in[0].numel()), traffic(in, out)};
}

AxisMap axes_grad(const Pad&, const TypesIn&, const Types&) { return {}; }

// Constant padding is a fill and a copy. The other modes read through a table of positions for each
// axis that is padded.
void emit(const Pad& a, CWriter& c) {
  const auto pads = known_amounts(c.types());
  if (!pads) c.refuse("the amounts of padding must be constant");
  const Shape shape = c.shape(0), big = c.out_shape(0);
  const auto own = strides_of(shape), to = strides_of(big);
  if (numel(big) == 0) return;
  if (a.mode == "constant") {
    c.fill(c.has(2) ? c.load(2, "0") : "0");
    Shape kept;
    CWalk from{0, own}, target{0, to};
    for (size_t d = 0; d < shape.size(); ++d) {
      const int64_t before = pads->before[d], cut = std::max<int64_t>(0, -before);
      const int64_t cut_after = std::max<int64_t>(0, -pads->after[d]);
      kept.push_back(std::max<int64_t>(0, shape[d] - cut - cut_after));
      from.offset += cut * own[d];
      target.offset += std::max<int64_t>(0, before) * to[d];
    }
    return c.copy(0, from, 0, target, kept);
  }
  std::vector<std::string> reads;
  std::string from = "0", at = "0";
  for (size_t d = 0; d < shape.size(); ++d) {
    const std::string index = "p" + std::to_string(d);
    const auto positions = sources(a, shape[d], pads->before[d], pads->after[d]);
    std::vector<int32_t> list(positions.begin(), positions.end());
    const Tensor table = Tensor::from<int32_t>({int64_t(list.size())}, std::span(list));
    from = plus(from, times(c.table(table, "positions") + "[" + index + "]", own[d]));
    at = plus(at, times(index, to[d]));
  }
  std::function<void(size_t)> loop = [&](size_t d) {
    if (d == big.size()) return c.store(0, at, c.load(0, from));
    c.block(for_loop("p" + std::to_string(d), big[d]), [&] { loop(d + 1); });
  };
  loop(0);
}

}  // namespace

const Room& pad() {
  static const Room room = make_room<Pad>({
      .onnx = {"Pad", 19},
      .arity = {2, 4},
      .attributes = {{"mode", &Pad::mode}},
      .infer = infer,
      .reference = ESP_REFERENCE(Pad, reference),
      .gradient = gradient,
      .cost = moves<Pad>,
      .axes = axes,
      .quantize = moves_quantized<Pad>,
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {OperandSpec::of({2, 3, 2}), OperandSpec::list({0, 1, 0, 0, 2, 1})}},
                  {{},
                   {OperandSpec::of({2, 3}), OperandSpec::list({1, -1, 0, 0}),
                    OperandSpec::fixed(Tensor::scalar(0.5f))}},
                  {{}, {OperandSpec::of({3}), OperandSpec::list({1, 2}), OperandSpec::of({})}},
                  {{"reflect"}, {OperandSpec::of({2, 4}), OperandSpec::list({0, 3, 0, 2})}},
                  {{"edge"},
                   {OperandSpec::of({2, 3, 2}), OperandSpec::list({2, 1, 1, 0}),
                    OperandSpec::omitted(), OperandSpec::list({1, -1})}},
                  {{"wrap"}, {OperandSpec::of({2, 3}), OperandSpec::list({1, 2, 0, 4})}}},
  });
  return room;
}

const Room& pad_grad() {
  static const Room room = make_room<Pad>({
      .onnx = {"PadGrad", 1, "espalier"},
      .arity = {3, 3},
      .attributes = {required("mode", &Pad::mode)},
      .infer = infer_grad,
      .reference = ESP_REFERENCE(Pad, reference_grad),
      .gradient = gradient_grad,
      .cost = cost_grad,
      .axes = axes_grad,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = Refuse{"is not written in C yet"},
      .samples =
          {{{"edge"},
            {OperandSpec::of({2, 6}), OperandSpec::list({2, 3}), OperandSpec::list({0, 2, 0, 1})}},
           {{"reflect"}, {OperandSpec::of({6}), OperandSpec::list({3}), OperandSpec::list({2, 1})}},
           {{"wrap"}, {OperandSpec::of({8}), OperandSpec::list({3}), OperandSpec::list({1, 4})}}},
  });
  return room;
}

}  // namespace espalier::ops
