#include "train/adapters/low_rank.h"

#include "base/error.h"
#include "ir/room.h"

namespace espalier {

Tensor as_read(const Graph& graph, const WeightTarget& t) {
  const Tensor& own = *graph.value(graph.find(t.parameter)).constant;
  if (t.element.empty()) return own;
  Tensor read(DType::f32, t.shape);
  for (int64_t i = 0; i < read.size(); ++i)
    read.mutable_data<float>()[i] = float(own.at(t.element[size_t(i)]));
  return read;
}

ValueId beside(Adapting& a, const WeightTarget& t, ValueId x, ValueId weight) {
  const Node n = a.graph().node(t.node);
  Values operands(2, kNoValue);
  operands[t.x_slot] = x;
  operands[t.w_slot] = weight;
  return a.builder().op(*n.room, n.attrs, operands).at(0);
}

ValueId mixed(Adapting& a, const WeightTarget& t, ValueId x, ValueId weight) {
  if (t.window.empty()) return a.builder().matmul(x, weight);
  return a.builder().one("Conv", {x, weight});
}

Shape mixing_shape(const WeightTarget& t, int64_t from, int64_t to) {
  if (t.window.empty()) return {from, to};
  Shape s = {to, from};
  s.resize(2 + t.window.size(), 1);
  return s;
}

double mixing_entry(const WeightTarget& t, const Tensor& w, int64_t from, int64_t to) {
  return t.window.empty() ? w.at(from * w.shape()[1] + to) : w.at(to * w.shape()[1] + from);
}

ValueId scaled(Adapting& a, ValueId v, double by) { return by == 1 ? v : a.builder().mul(v, by); }

void add_to_result(Adapting& a, const WeightTarget& t, ValueId path, NodeId first_new) {
  const ValueId y = a.graph().node(t.node).outputs[0];
  a.replace(y, a.builder().add(y, path), first_new);
}

Tensor expanded(const Tensor& inner, int axis, int64_t extent,
                const std::function<double(int64_t r, int64_t e)>& entry) {
  Shape shape = inner.shape();
  const int64_t rank = shape[size_t(axis)];
  const int64_t outside = product(shape, 0, size_t(axis));
  const int64_t inside = product(shape, size_t(axis) + 1, shape.size());
  shape[size_t(axis)] = extent;
  Tensor out(DType::f64, shape);
  double* to = out.mutable_data<double>();
  const Tensor wide = inner.cast(DType::f64);
  const double* from = wide.data<double>();
  for (int64_t r = 0; r < rank; ++r)
    for (int64_t e = 0; e < extent; ++e) {
      const double by = entry(r, e);
      if (by == 0) continue;
      for (int64_t o = 0; o < outside; ++o)
        for (int64_t i = 0; i < inside; ++i)
          to[(o * extent + e) * inside + i] += by * from[(o * rank + r) * inside + i];
    }
  return out;
}

}  // namespace espalier
