#include "ops/pool/pool.h"

#include <algorithm>

#include "base/error.h"
#include "ops/common.h"
#include "ops/emit.h"

namespace espalier::ops {

std::vector<Field> max_pool_fields() {
  return window_fields<MaxPool>(
      true, true, {{"ceil_mode", &MaxPool::ceil_mode}, {"storage_order", &MaxPool::storage_order}});
}

std::vector<Field> average_pool_fields() {
  return window_fields<AveragePool>(true, true,
                                    {{"ceil_mode", &AveragePool::ceil_mode},
                                     {"count_include_pad", &AveragePool::count_include_pad}});
}

Dims pool_dims(const TypesIn& in, const Window& w, bool ceil_mode, const TensorType& x) {
  if (x.rank() < 3 || x.rank() > 5)
    in.fail("the operand is " + to_string(x),
            "one to three spatial axes must follow batch and channel");
  const size_t spatial = size_t(x.rank()) - 2;
  if (w.kernel_shape.size() != spatial)
    in.fail("kernel_shape " + to_string(w.kernel_shape) + " is not for " + std::to_string(spatial) +
            " spatial axes");
  check_window(in, w, spatial);
  Dims dims = {x.dims[0], x.dims[1]};
  for (Dim& d : window_extents(in, w, spatial_dims(x),
                               Dims(w.kernel_shape.begin(), w.kernel_shape.end()), ceil_mode))
    dims.push_back(std::move(d));
  return dims;
}

Window whole_window(const TensorType& x, const std::string& where) {
  Window w;
  for (const Dim& d : spatial_dims(x)) {
    if (!d.known())
      throw unsupported(where, "the gradient over " + to_string(x) + " needs its spatial extents",
                        "specialise the graph first");
    w.kernel_shape.push_back(d.value());
  }
  return w;
}

Types global_pool_result(const TypesIn& in) {
  if (in[0].rank() < 3)
    in.fail("operand 0 is " + to_string(in[0]), "spatial axes must follow batch and channel");
  TensorType y = in[0];
  for (size_t i = 2; i < y.dims.size(); ++i) y.dims[i] = Dim(1);
  return {std::move(y)};
}

AxisMap pool_axes(const TypesIn& in) {
  AxisMap map;
  for (int64_t axis = 0; axis < 2; ++axis)
    if (in[0].dims[size_t(axis)].known())
      map.ties.push_back(
          {in[0].dims[size_t(axis)].value(), {AxisPlace::in(0, axis), AxisPlace::out(0, axis)}});
  return map;
}

Cost pool_cost(const TypesIn& in, const Types& out, const std::vector<int64_t>& kernel) {
  return map_cost(double(product(kernel, 0, kernel.size())), in, {out[0]});
}

std::vector<int64_t> window_counts(const Geometry& g, bool count_include_pad) {
  std::vector<int64_t> counts(size_t(g.out_size()), 0);
  if (!count_include_pad) {
    for_each_overlap(g, [&](int64_t, int64_t y, int64_t, int64_t count, int64_t) {
      for (int64_t i = 0; i < count; ++i) ++counts[size_t(y + i)];
    });
    return counts;
  }
  // Positions behind the padded operand, which ceil_mode reaches, do not count.
  const auto covered = [](const WindowAxis& a, int64_t o) {
    const int64_t room = a.in + a.pad_end - a.position(o, 0);
    return std::clamp<int64_t>((room + a.dilation - 1) / a.dilation, 0, a.kernel);
  };
  const auto& [d, h, w] = g.axes;
  size_t i = 0;
  for (int64_t od = 0; od < d.out; ++od)
    for (int64_t oh = 0; oh < h.out; ++oh)
      for (int64_t ow = 0; ow < w.out; ++ow)
        counts[i++] = covered(d, od) * covered(h, oh) * covered(w, ow);
  return counts;
}

Divisors divisors_in_c(CWriter& c, const std::vector<int64_t>& counts) {
  std::vector<float> list;
  for (int64_t n : counts) list.push_back(float(std::max<int64_t>(1, n)));
  const float first = list.empty() ? 1 : list[0];
  if (std::ranges::count(list, first) == std::ssize(list))
    return {"", c_literal(double(first), c.dtype(0))};
  const Tensor table = Tensor::from<float>({std::ssize(list)}, std::span<const float>(list));
  return {c.table(table, "counts"), "0"};
}

}  // namespace espalier::ops
