#include "ops/optimiser/preview.h"

namespace espalier::ops {

Types infer_preview(const TypesIn& in, size_t moments) {
  require_float(in, 0);
  if (in[1].dtype != DType::i64) in.fail("the step count is " + to_string(in[1]) + ", not an i64");
  for (size_t i = 0; i < 2; ++i)
    if (in[i].rank() > 1 || (in[i].rank() == 1 && in[i].dims[0].known() && !in[i].dims[0].is(1)))
      in.fail("operand " + std::to_string(i) + " is " + to_string(in[i]) + ", no scalar");
  const size_t kinds = 2 + moments;
  if ((in.size() - 2) % kinds != 0)
    in.fail("has " + std::to_string(in.size() - 2) + " tensors, " + std::to_string(kinds) +
            " are needed for each one that is trained");
  const size_t count = (in.size() - 2) / kinds;
  Types results;
  for (size_t kind = 0; kind < kinds; ++kind)
    for (size_t i = 0; i < count; ++i) {
      const size_t slot = 2 + kind * count + i;
      require_float(in, slot);
      if (in[slot].dtype != in[2 + i].dtype || in[slot].dims != in[2 + i].dims)
        in.fail("operand " + std::to_string(slot) + " is " + to_string(in[slot]) +
                ", the tensor it belongs to " + to_string(in[2 + i]));
      if (kind != 1) results.emplace_back(in[2 + i]);
    }
  return results;
}

Values expand_preview(Builder& b, const Values& in, size_t moments, float norm_coefficient,
                      const std::function<Values(const PreviewStep&)>& step) {
  const size_t kinds = 2 + moments, count = (in.size() - 2) / kinds;
  Values results(count * (1 + moments), kNoValue);
  for (size_t i = 0; i < count; ++i) {
    const auto tensor = [&](size_t kind) { return in[2 + kind * count + i]; };
    const ValueId x = tensor(0), gradient = tensor(1);
    const auto number = [&](ValueId v) { return b.cast(b.reshape(v, {}), b.type(x).dtype); };
    const ValueId rate = number(in[0]), steps = number(in[1]);
    const ValueId g =
        norm_coefficient == 0 ? gradient : b.add(b.mul(x, double(norm_coefficient)), gradient);
    PreviewStep s{rate, steps, x, g, {}};
    for (size_t m = 0; m < moments; ++m) s.moments.push_back(tensor(2 + m));
    const Values next = step(s);
    for (size_t k = 0; k < next.size(); ++k) results[k * count + i] = next[k];
  }
  return results;
}

AxisMap preview_axes(const TypesIn& in, size_t moments) {
  const size_t kinds = 2 + moments, count = (in.size() - 2) / kinds;
  AxisMap map;
  for (size_t i = 0; i < count; ++i)
    for (int64_t d = 0; d < in[2 + i].rank(); ++d) {
      if (!in[2 + i].dims[size_t(d)].known()) continue;
      AxisTie tie{in[2 + i].dims[size_t(d)].value(), {}};
      for (size_t kind = 0; kind < kinds; ++kind) {
        tie.places.push_back(AxisPlace::in(int(2 + kind * count + i), d));
        if (kind != 1)
          tie.places.push_back(AxisPlace::out(int((kind == 0 ? 0 : kind - 1) * count + i), d));
      }
      map.ties.push_back(std::move(tie));
    }
  return map;
}

std::vector<OperandSpec> preview_operands(const std::vector<Shape>& shapes, size_t moments,
                                          int64_t count) {
  std::vector<OperandSpec> operands = {OperandSpec::fixed(Tensor::scalar(0.1f)),
                                       OperandSpec::fixed(Tensor::scalar(count))};
  for (size_t kind = 0; kind < 2 + moments; ++kind)
    for (const Shape& shape : shapes)
      operands.push_back(OperandSpec::ranged(shape, kind == 1 + moments ? 0.5 : -1, 1));
  return operands;
}

}  // namespace espalier::ops
