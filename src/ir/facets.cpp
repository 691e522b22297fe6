#include "ir/facets.h"

#include "base/error.h"

template class std::vector<espalier::OperandSpec>;
template class std::vector<espalier::Sample>;
template class std::vector<espalier::Type>;

namespace espalier {

const TensorType& TypesIn::operator[](size_t i) const {
  if (!has(i)) fail("operand " + std::to_string(i) + " is missing");
  if (operands_[i].type->is_unranked())
    throw UnknownRank(ExitCode::kUnsupported, where_,
                      "operand " + std::to_string(i) + " is " + to_string(*operands_[i].type) +
                          ", its rank must be known");
  if (!operands_[i].type->is_tensor())
    fail("operand " + std::to_string(i) + " is " + to_string(*operands_[i].type) +
         ", a tensor is needed");
  return operands_[i].type->tensor();
}

const Type& TypesIn::type(size_t i) const {
  if (!has(i)) fail("operand " + std::to_string(i) + " is missing");
  return *operands_[i].type;
}

std::optional<std::vector<int64_t>> TypesIn::ints(size_t i) const {
  const Tensor* t = constant(i);
  if (!t) return std::nullopt;
  return t->to_i64();
}

void TypesIn::fail(std::string what, std::string hint) const {
  throw bad_input(where_, std::move(what), std::move(hint));
}

double traffic(const TypesIn& in, const Types& out) {
  double bytes = 0;
  const auto add = [&](const Type& t) {
    if (t.is_static()) bytes += double(t.tensor().numel()) * double(size_of(t.tensor().dtype));
  };
  for (size_t i = 0; i < in.size(); ++i)
    if (in.has(i)) add(in.type(i));
  for (const Type& t : out) add(t);
  return bytes;
}

Cost contraction(double macs, const TypesIn& in, const Types& out) {
  return {macs, 2 * macs, traffic(in, out)};
}
Cost map_cost(double flops_per_element, const TypesIn& in, const Types& out) {
  return {0, flops_per_element * double(out.at(0).tensor().numel()), traffic(in, out)};
}
Cost move_cost(const TypesIn& in, const Types& out) { return {0, 0, traffic(in, out)}; }

AxisMap AxisMap::identity(const TypesIn& in, bool zero_passes) {
  AxisMap map;
  for (int64_t axis = 0; axis < in[0].rank(); ++axis) {
    if (!in[0].dims[size_t(axis)].known()) continue;
    map.ties.push_back({in[0].dims[size_t(axis)].value(),
                        {AxisPlace::in(0, axis), AxisPlace::out(0, axis)},
                        zero_passes});
  }
  return map;
}

AxisMap AxisMap::broadcast(const TypesIn& in, const TensorType& out, Zero zero) {
  AxisMap map;
  for (int64_t axis = 0; axis < out.rank(); ++axis) {
    if (!out.dims[size_t(axis)].known()) continue;
    const int64_t extent = out.dims[size_t(axis)].value();
    AxisTie tie{extent, {AxisPlace::out(0, axis)}, zero != Zero::kNever};
    for (size_t i = 0; i < in.size(); ++i) {
      if (!in.has(i)) continue;
      const int64_t own = axis - (out.rank() - in[i].rank());
      const bool has = own >= 0 && in[i].dims[size_t(own)].is(extent);
      if (has) tie.places.push_back(AxisPlace::in(int(i), own));
      if ((zero == Zero::kIfAll && !has) || (zero == Zero::kIfFirst && has != (i == 0)))
        tie.zero_passes = false;
    }
    map.ties.push_back(std::move(tie));
  }
  return map;
}

OperandSpec OperandSpec::list(std::vector<int64_t> values) {
  return fixed(Tensor::vector_i64(values));
}

OperandSpec OperandSpec::fixed(Tensor value) {
  OperandSpec s;
  s.dtype = value.dtype();
  s.shape = value.shape();
  s.value = std::move(value);
  s.constant = true;
  return s;
}

}  // namespace espalier
