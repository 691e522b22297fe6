// Gather, ONNX opset 13: slices of the data along one axis, picked by an index tensor whose axes
// take that axis' place. Negative indices count from the back.
// espalier.GatherGrad(dy, indices, shape): zeros of that shape with dy's slices added where Gather
// picked them.
#include "base/error.h"
#include "ops/emit.h"
#include "ops/shape/move.h"

namespace espalier::ops {
namespace {

struct Gather {
  int64_t axis = 0;
};

Types infer(const Gather& a, const TypesIn& in) {
  require_index_type(in, 1);
  const auto axis = axis_of(in, 0, a.axis);
  Dims dims = in[0].dims;
  const Dims& picked = in[1].dims;
  dims.erase(dims.begin() + axis);
  dims.insert(dims.begin() + axis, picked.begin(), picked.end());
  return {TensorType(in[0].dtype, std::move(dims))};
}

/// Calls f(operand offset, result offset, run) for every picked slice, in elements.
template <class F>
void for_each_pick(const Tensor& indices, const Shape& data, int64_t axis, const char* where, F f) {
  const auto at = size_t(axis < 0 ? axis + int64_t(data.size()) : axis);
  const int64_t extent = data[at], run = product(data, at + 1, data.size());
  const int64_t outer = product(data, 0, at);
  const std::vector<int64_t> picks = indices.to_i64();
  for (int64_t o = 0; o < outer; ++o)
    for (size_t i = 0; i < picks.size(); ++i)
      f((o * extent + checked_index(picks[i], extent, where)) * run,
        (o * int64_t(picks.size()) + int64_t(i)) * run, run);
}

template <class Real>
void reference(const Gather& a, Ref<Real>& r) {
  const ElementCopier copy(r.tensor(0), r.out_tensor(0));
  for_each_pick(r.tensor(1), r.shape(0), a.axis, "Gather",
                [&](int64_t from, int64_t to, int64_t run) { copy(to, from, run); });
}

Values gradient(const Gather& a, Builder& b, const Tape& t) {
  return {b.one("espalier.GatherGrad", {t.dy(), t.x(1), shape_of(b, t.x(0))}, {{"axis", a.axis}}),
          kNoValue};
}

/// Axes of the data other than the picked one tie to the result, and so do the indices' axes; cut
/// indices leave the remaining slices as they are. The picked axis is disconnected: its positions
/// are named by values.
AxisMap tied_axes(const TypesIn& in, const Dims& data, int64_t axis,
                  AxisPlace (*data_place)(int64_t), AxisPlace (*result_place)(int64_t),
                  bool zero_indices_pass) {
  const int64_t more = in[1].rank();
  AxisMap map;
  for (int64_t d = 0; d < int64_t(data.size()); ++d)
    if (d != axis && data[size_t(d)].known())
      map.ties.push_back(
          {data[size_t(d)].value(), {data_place(d), result_place(d < axis ? d : d - 1 + more)}});
  for (int64_t d = 0; d < more; ++d)
    if (in[1].dims[size_t(d)].known())
      map.ties.push_back({in[1].dims[size_t(d)].value(),
                          {AxisPlace::in(1, d), result_place(axis + d)},
                          zero_indices_pass});
  return map;
}

AxisPlace first_operand(int64_t axis) { return AxisPlace::in(0, axis); }
AxisPlace result(int64_t axis) { return AxisPlace::out(0, axis); }

AxisMap axes(const Gather& a, const TypesIn& in, const Types&) {
  return tied_axes(in, in[0].dims, axis_of(in, 0, a.axis), first_operand, result, false);
}

// ---- GatherGrad ---------------------------------------------------------------------------------

Types infer_grad(const Gather& a, const TypesIn& in) {
  require_float(in, 0);
  require_index_type(in, 1);
  Dims dims(size_t(list_length(in, 2)), Dim::unknown());
  if (const auto shape = list_of(in, 2)) dims = checked_extents(in, *shape);
  if (int64_t(dims.size()) - 1 + in[1].rank() != in[0].rank())
    in.fail("the gradient " + to_string(in[0]) + " does not fit the shape and indices");
  const auto at = size_t(normal_axis(a.axis, int64_t(dims.size()), in.where()));
  Dims picked = dims;
  picked.erase(picked.begin() + int64_t(at));
  picked.insert(picked.begin() + int64_t(at), in[1].dims.begin(), in[1].dims.end());
  for (size_t d = 0; d < picked.size(); ++d)
    if (picked[d].known() && in[0].dims[d].known() && picked[d] != in[0].dims[d])
      in.fail("the gradient " + to_string(in[0]) + " does not fit the shape and indices");
  return {TensorType(in[0].dtype, std::move(dims))};
}

template <class Real>
void reference_grad(const Gather& a, Ref<Real>& r) {
  const auto dy = r.real(0);
  const auto dx = r.out_real(0);
  for_each_pick(r.tensor(1), r.out_shape(0), a.axis, "GatherGrad",
                [&](int64_t to, int64_t from, int64_t run) {
                  for (int64_t i = 0; i < run; ++i) dx[size_t(to + i)] += dy[size_t(from + i)];
                });
}

Values gradient_grad(const Gather& a, Builder& b, const Tape& t) {
  return {b.one("Gather", {t.dy(), t.x(1)}, {{"axis", a.axis}}), kNoValue, kNoValue};
}

Cost cost_grad(const Gather&, const TypesIn& in, const Types& out) {
  return {0, double(in[0].numel()), traffic(in, out)};
}

// Slices of dy that are zero add nothing wherever they go.
AxisMap axes_grad(const Gather& a, const TypesIn& in, const Types& out) {
  const Dims& data = out[0].tensor().dims;
  AxisMap map = tied_axes(in, data, normal_axis(a.axis, int64_t(data.size()), in.where()), result,
                          first_operand, true);
  return map;
}

Resized resized_grad(const Gather& a, const TypesIn&, const TypesIn&, const Types& wanted) {
  // A shape cannot say that an extent is open.
  if (!wanted[0].is_static()) return {Attributes::of(a), {}};
  return {Attributes::of(a), {{2, Tensor::vector_i64(wanted[0].tensor().shape())}}};
}

void emit(const Gather& a, CWriter& c) {
  const Shape data = c.shape(0);
  const auto at = size_t(normal_axis(a.axis, int64_t(data.size()), "Gather"));
  const int64_t run = product(data, at + 1, data.size()), outer = product(data, 0, at);
  const int64_t extent = data[at], picks = c.size(1);
  if (outer * picks * run == 0) return;
  c.block(for_loop("pick", picks), [&] {
    declare_position(c, "from", c.load(1, "pick"), extent);
    c.nest({outer, run}, {{0, {extent * run, 1}}, {0, {picks * run, 1}}},
           [&](const std::vector<std::string>& i) {
             c.store(0, plus(i[1], times("pick", run)), c.load(0, plus(i[0], times("from", run))));
           });
  });
}

// Positions that are picked twice gain twice.
void emit_grad(const Gather& a, CWriter& c) {
  const Shape data = c.out_shape(0);
  const auto at = size_t(normal_axis(a.axis, int64_t(data.size()), "GatherGrad"));
  const int64_t run = product(data, at + 1, data.size()), outer = product(data, 0, at);
  const int64_t extent = data[at], picks = c.size(1);
  const std::string dx = c.out(0);
  c.nest({c.out_size(0)}, {{0, {1}}},
         [&](const std::vector<std::string>& i) { c.line(dx + "[" + i[0] + "] = 0;"); });
  if (outer * picks * run == 0) return;
  c.block(for_loop("pick", picks), [&] {
    declare_position(c, "to", c.load(1, "pick"), extent);
    c.nest({outer, run}, {{0, {extent * run, 1}}, {0, {picks * run, 1}}},
           [&](const std::vector<std::string>& i) {
             c.line(dx + "[" + plus(i[0], times("to", run)) +
                    "] += " + c.load(0, plus(i[1], times("pick", run))) + ";");
           });
  });
}

}  // namespace

const Room& gather() {
  static const Room room = make_room<Gather>({
      .onnx = {"Gather", 13},
      .arity = {2, 2},
      .attributes = {{"axis", &Gather::axis}},
      .infer = infer,
      .reference = ESP_REFERENCE(Gather, reference),
      .gradient = gradient,
      .cost = moves<Gather>,
      .axes = axes,
      .quantize = moves_quantized<Gather>,
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {OperandSpec::of({5, 3}), OperandSpec::ranged({2, 2}, -5, 4, DType::i64)}},
                  {{1}, {OperandSpec::of({2, 4, 3}), OperandSpec::list({3, 0, 3})}},
                  {{-1},
                   {OperandSpec::of({2, 3}), OperandSpec::fixed(Tensor::scalar<int64_t>(-1))}},
                  {{},
                   {OperandSpec::fixed(Tensor::from<std::string>({3}, {"a", "b", "c"})),
                    OperandSpec::list({2, 0})}}},
  });
  return room;
}

const Room& gather_grad() {
  static const Room room = make_room<Gather>({
      .onnx = {"GatherGrad", 1, "espalier"},
      .arity = {3, 3},
      .attributes = {{"axis", &Gather::axis}},
      .infer = infer_grad,
      .reference = ESP_REFERENCE(Gather, reference_grad),
      .gradient = gradient_grad,
      .cost = cost_grad,
      .axes = axes_grad,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit_grad,
      .samples = {{{1},
                   {OperandSpec::of({2, 3, 3}), OperandSpec::list({3, 0, 3}),
                    OperandSpec::list({2, 4, 3})}},
                  {{},
                   {OperandSpec::of({2, 2, 3}), OperandSpec::ranged({2, 2}, -5, 4, DType::i64),
                    OperandSpec::list({5, 3})}}},
      .resized = resized_grad,
  });
  return room;
}

}  // namespace espalier::ops
