// Unique, ONNX opset 11: the distinct elements, or along an axis the distinct slices, sorted or in
// the order they are met; where each is met first, which one each position holds, and how often
// each is met.
#include <cmath>
#include <numeric>

#include "ops/selection/selection.h"

namespace espalier::ops {
namespace {

struct Unique {
  std::optional<int64_t> axis;
  bool sorted = true;
};

Types infer(const Unique& a, const TypesIn& in) {
  TensorType out(in[0].dtype, Dims{Dim::unknown()});
  Dim whole = in[0].is_static() ? Dim(in[0].numel()) : Dim::unknown();
  if (a.axis) {
    out = in[0];
    Dim& d = out.dims[size_t(axis_of(in, 0, *a.axis))];
    whole = d;
    d = Dim::unknown();
  }
  const TensorType list(DType::i64, Dims{Dim::unknown()});
  return {std::move(out), list, TensorType(DType::i64, Dims{whole}), list};
}

/// -1, 0 or 1; NaN equals itself and comes last.
template <class T>
int order_of(const T& a, const T& b, bool unsigned_bits) {
  if constexpr (std::is_floating_point_v<T>) {
    if (a != a || b != b) return int(a != a) - int(b != b);
  }
  if constexpr (std::is_same_v<T, int64_t>) {
    if (unsigned_bits) return uint64_t(a) < uint64_t(b) ? -1 : int(uint64_t(a) > uint64_t(b));
  }
  return a < b ? -1 : int(b < a);
}

/// Slices along the axis, in groups of equals.
struct Groups {
  std::vector<int64_t> first, of, count;
};

template <class Compare>
Groups grouped(int64_t slices, bool sorted, Compare compare) {
  std::vector<int64_t> order(static_cast<size_t>(slices));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t i, int64_t j) { return compare(i, j) < 0; });
  Groups g;
  g.of.resize(order.size());
  for (size_t k = 0; k < order.size(); ++k) {
    if (k == 0 || compare(order[k - 1], order[k]) != 0) {
      g.first.push_back(order[k]);  // the sort is stable: the first of its equals
      g.count.push_back(0);
    }
    g.of[size_t(order[k])] = int64_t(g.first.size()) - 1;
    ++g.count.back();
  }
  if (sorted) return g;
  std::vector<int64_t> met(g.first.size()), rank(g.first.size());
  std::iota(met.begin(), met.end(), 0);
  std::sort(met.begin(), met.end(),
            [&](int64_t i, int64_t j) { return g.first[size_t(i)] < g.first[size_t(j)]; });
  Groups by_position = g;
  for (size_t k = 0; k < met.size(); ++k) {
    rank[size_t(met[k])] = int64_t(k);
    by_position.first[k] = g.first[size_t(met[k])];
    by_position.count[k] = g.count[size_t(met[k])];
  }
  for (int64_t& group : by_position.of) group = rank[size_t(group)];
  return by_position;
}

template <class Real>
void reference(const Unique& a, Ref<Real>& r) {
  const Shape shape = a.axis ? r.shape(0) : Shape{r.tensor(0).size()};
  const auto axis = size_t(normal_axis(a.axis.value_or(0), int64_t(shape.size()), "Unique"));
  const int64_t extent = shape[axis], run = product(shape, axis + 1, shape.size());
  const int64_t outer = product(shape, 0, axis);
  Groups groups;
  visit_elements(r, 0, [&](const auto& x) {
    const bool unsigned_bits = r.dtype(0) == DType::u64;
    groups = grouped(extent, a.sorted, [&](int64_t i, int64_t j) {
      for (int64_t o = 0; o < outer; ++o)
        for (int64_t k = 0; k < run; ++k) {
          const int order = order_of(x[size_t((o * extent + i) * run + k)],
                                     x[size_t((o * extent + j) * run + k)], unsigned_bits);
          if (order != 0) return order;
        }
      return 0;
    });
  });
  const auto n = int64_t(groups.first.size());
  Shape result = shape;
  result[axis] = n;
  r.resize(0, result);
  const ElementCopier copy(r.tensor(0), r.out_tensor(0));
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t k = 0; k < n; ++k)
      copy((o * n + k) * run, (o * extent + groups.first[size_t(k)]) * run, run);
  const auto write = [&](size_t slot, const std::vector<int64_t>& values) {
    r.resize(slot, {int64_t(values.size())});
    std::ranges::copy(values, r.out_ints(slot).begin());
  };
  write(1, groups.first);
  write(2, groups.of);
  write(3, groups.count);
}

Cost cost(const Unique&, const TypesIn& in, const Types& out) {
  const double n = double(in[0].numel());
  return {0, n * std::max(1.0, std::log2(std::max(n, 1.0))), traffic(in, out)};
}

AxisMap axes(const Unique&, const TypesIn&, const Types&) { return {}; }

}  // namespace

const Room& unique() {
  static const Room room = make_room<Unique>({
      .onnx = {"Unique", 11},
      .arity = {1, 1, 1, 4},
      .attributes = {{"axis", &Unique::axis}, {"sorted", &Unique::sorted}},
      .infer = infer,
      .reference = ESP_REFERENCE(Unique, reference),
      .gradient = not_differentiable(),
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = sized_by_data(),
      .samples = {{{}, {OperandSpec::ranged({3, 4}, 0, 4, DType::i32)}},
                  {{{}, false}, {OperandSpec::ranged({9}, 0, 4, DType::i64)}},
                  {{1}, {OperandSpec::ranged({2, 5, 1}, 0, 1, DType::i32)}},
                  {{-1, false}, {OperandSpec::ranged({1, 6}, 0, 2, DType::u8)}},
                  {{}, {OperandSpec::fixed(Tensor::from<std::string>({3}, {"b", "a", "b"}))}},
                  {{}, {OperandSpec::of({0})}},
                  {{}, {OperandSpec::of({4})}, 1}},
  });
  return room;
}

}  // namespace espalier::ops
