#include "ops/reduction/reduce.h"

#include "base/error.h"
#include "ops/emit.h"

namespace espalier::ops {

std::vector<bool> reduced_mask(const Reduce& a, const TypesIn& in) {
  if (a.axes.empty()) return std::vector<bool>(size_t(in[0].rank()), true);
  return axis_mask(in, a.axes, in[0].rank());
}

std::vector<bool> reduced_mask(const Reduce& a, int64_t rank) {
  if (a.axes.empty()) return std::vector<bool>(size_t(rank), true);
  std::vector<bool> mask(size_t(rank), false);
  for (int64_t axis : a.axes) mask[size_t(axis < 0 ? axis + rank : axis)] = true;
  return mask;
}

std::vector<bool> reduced_mask(const Reduce& a, const Tape& t) {
  return reduced_mask(a, t.type_x(0).rank());
}

Dims reduced_dims(const Dims& dims, const std::vector<bool>& mask, bool keepdims) {
  Dims out;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (!mask[i])
      out.push_back(dims[i]);
    else if (keepdims)
      out.emplace_back(1);
  }
  return out;
}

Types infer_reduce(const Reduce& a, const TypesIn& in) {
  if (in[0].dtype == DType::string || in[0].dtype == DType::boolean)
    in.fail("cannot reduce " + to_string(in[0]), "a numeric type is needed");
  return {TensorType(in[0].dtype, reduced_dims(in[0].dims, reduced_mask(a, in), a.keepdims))};
}

Types infer_reduce_order(const Reduce& a, const TypesIn& in) {
  if (in[0].dtype != DType::boolean) return infer_reduce(a, in);
  return {TensorType(DType::boolean, reduced_dims(in[0].dims, reduced_mask(a, in), a.keepdims))};
}

Types infer_reduce_float(const Reduce& a, const TypesIn& in) {
  require_float(in, 0);
  return infer_reduce(a, in);
}

AxisMap reduced_ties(const TypesIn& in, const std::vector<bool>& mask, bool keepdims,
                     ReducedAxis reduced, bool zero_passes) {
  AxisMap map;
  int64_t to = 0;
  for (int64_t axis = 0; axis < in[0].rank(); ++axis) {
    const Dim& extent = in[0].dims[size_t(axis)];
    const bool kept = !mask[size_t(axis)];
    const int64_t at = kept || keepdims ? to++ : -1;
    if (!extent.known()) continue;
    if (kept)
      map.ties.push_back(
          {extent.value(), {AxisPlace::in(0, axis), AxisPlace::out(0, at)}, zero_passes});
    else if (reduced != ReducedAxis::kFixed)
      map.ties.push_back(
          {extent.value(), {AxisPlace::in(0, axis)}, true, reduced == ReducedAxis::kReadsWhole});
  }
  return map;
}

ValueId unreduced(Builder& b, ValueId v, const std::vector<bool>& mask, bool keepdims) {
  if (keepdims) return v;
  std::vector<int64_t> axes;
  for (size_t i = 0; i < mask.size(); ++i)
    if (mask[i]) axes.push_back(int64_t(i));
  return axes.empty() ? v : b.one("Unsqueeze", {v, b.ints(axes)});
}

ValueId sum_over(const Reduce& a, Builder& b, ValueId v) {
  const AttributeMap keep = {{"keepdims", int64_t{a.keepdims}}};
  if (a.axes.empty()) return b.one("ReduceSum", {v}, keep);
  return b.one("ReduceSum", {v, b.ints(a.axes)}, keep);
}

ValueId gradient_to_extremes(const Reduce& a, Builder& b, const Tape& t) {
  const auto mask = reduced_mask(a, t);
  const ValueId y = unreduced(b, t.y(0), mask, a.keepdims);
  const ValueId dy = unreduced(b, t.dy(), mask, a.keepdims);
  const ValueId chosen = b.cast(b.one("Equal", {t.x(0), y}), b.type(t.x(0)).dtype);
  const ValueId sharers = sum_over({a.axes, true}, b, chosen);
  return b.mul(chosen, b.div(dy, sharers));
}

std::vector<SampleOf<Reduce>> reduction_samples(double lo, double hi) {
  return {{{{1}}, {OperandSpec::ranged({2, 3, 4}, lo, hi)}},
          {{{0, -1}, false}, {OperandSpec::ranged({2, 3, 4}, lo, hi)}},
          {{}, {OperandSpec::ranged({2, 3}, lo, hi)}}};
}

void emit_reduce(CWriter& c, const std::vector<bool>& mask, const std::string& init,
                 const std::string& step, const std::string& finish) {
  const DType t = c.dtype(0);
  const std::string out = is_float(t)           ? finish
                          : t == DType::boolean ? finish + " > 0"
                                                : "(" + c_type(t) + ")(" + finish + ")";
  c.reduce(mask, is_float(t) ? t : DType::i64, init, step, out);
}

}  // namespace espalier::ops
