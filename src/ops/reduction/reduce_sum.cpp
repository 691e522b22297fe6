// ReduceSum, ONNX opset 13: sums over the axes the second operand names (all without it, or none
// with noop_with_empty_axes).
#include "base/error.h"
#include "ops/emit.h"
#include "ops/reduction/reduce.h"

namespace espalier::ops {
namespace {

struct ReduceSum {
  bool keepdims = true;
  bool noop_with_empty_axes = false;
};

/// Which axes are summed over, or nothing while the axes operand is unknown.
std::optional<std::vector<bool>> summed(const ReduceSum& a, const TypesIn& in) {
  std::vector<int64_t> axes;
  if (in.has(1)) {
    const auto list = list_of(in, 1);
    if (!list) return std::nullopt;
    axes = *list;
  }
  if (axes.empty()) return std::vector<bool>(size_t(in[0].rank()), !a.noop_with_empty_axes);
  return axis_mask(in, axes, in[0].rank());
}

Types infer(const ReduceSum& a, const TypesIn& in) {
  if (in[0].dtype == DType::string || in[0].dtype == DType::boolean)
    in.fail("cannot sum " + to_string(in[0]), "a numeric type is needed");
  if (const auto mask = summed(a, in))
    return {TensorType(in[0].dtype, reduced_dims(in[0].dims, *mask, a.keepdims))};
  const int64_t rank = in[0].rank() - (a.keepdims ? 0 : list_length(in, 1));
  if (rank < 0) in.fail("sums over more axes than " + to_string(in[0]) + " has");
  return {TensorType(in[0].dtype, Dims(size_t(rank), Dim::unknown()))};
}

template <class Real>
void reference(const ReduceSum& a, Ref<Real>& r) {
  const bool named = r.has(1) && r.tensor(1).size() > 0;
  std::vector<bool> mask(r.shape(0).size(), !a.noop_with_empty_axes);
  if (named) mask = reduced_mask(Reduce{r.tensor(1).to_i64()}, r.tensor(0).rank());
  reduce_loop(r, mask, SumStep{}, [](auto sum, int64_t) { return sum; });
}

// Every summand gets dy.
Values gradient(const ReduceSum& a, Builder& b, const Tape& t) {
  const Node& node = t.node();
  const auto mask = summed(a, types_in(t.graph(), *node.room, node.inputs, node.name));
  if (!mask && !a.keepdims)
    throw unsupported(node.name, "the axes of this sum are not known when it is differentiated");
  const ValueId dy = mask ? unreduced(b, t.dy(), *mask, a.keepdims) : t.dy();
  return {b.one("Expand", {dy, shape_of(b, t.x(0))})};
}

Cost cost(const ReduceSum&, const TypesIn& in, const Types& out) {
  return {0, double(in[0].numel()), traffic(in, out)};
}

AxisMap axes(const ReduceSum& a, const TypesIn& in, const Types&) {
  const auto mask = summed(a, in);
  if (!mask) return {};
  return reduced_ties(in, *mask, a.keepdims, ReducedAxis::kContracts, true);
}

void emit(const ReduceSum& a, CWriter& c) {
  const auto mask = summed(a, c.types());
  if (!mask) c.refuse("the axes must be constant");
  emit_reduce(c, *mask, "0", "acc + x");
}

}  // namespace

const Room& reduce_sum() {
  static const Room room = make_room<ReduceSum>({
      .onnx = {"ReduceSum", 13},
      .arity = {1, 2},
      .attributes = {{"keepdims", &ReduceSum::keepdims},
                     {"noop_with_empty_axes", &ReduceSum::noop_with_empty_axes}},
      .infer = infer,
      .reference = ESP_REFERENCE(ReduceSum, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {OperandSpec::of({2, 3, 4}), OperandSpec::list({0, -1})}},
                  {{false}, {OperandSpec::of({2, 3, 4}), OperandSpec::list({1})}},
                  {{false}, {OperandSpec::of({2, 3})}},
                  {{true, true}, {OperandSpec::of({2, 3}), OperandSpec::list({})}},
                  {{}, {OperandSpec::of({2, 0}), OperandSpec::list({1})}},
                  {{}, {OperandSpec::ranged({2, 3}, -9, 9, DType::i32), OperandSpec::list({1})}}},
  });
  return room;
}

}  // namespace espalier::ops
