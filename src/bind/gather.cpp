// Gather along one axis, and its gradient.
#include "kernels/gather.h"

#include "base/error.h"
#include "bind/attribute_reader.h"
#include "bind/families.h"
#include "kernels/lane_picks.h"

namespace espalier::bind {
namespace {

kernels::GatherShape shape_of(const BindRequest& r, const Shape& data, int64_t picks) {
  int64_t axis = AttributeReader(*r.room, r.attrs).integer("axis", 0);
  if (axis < 0) axis += int64_t(data.size());
  const auto at = size_t(axis);
  return {product(data, 0, at), data[at], product(data, at + 1, data.size()), picks};
}

[[noreturn]] void outside(const std::string& where, int64_t pick, int64_t extent) {
  throw bad_input(where, "index " + std::to_string(pick) + " is outside the axis of extent " +
                             std::to_string(extent));
}

/// Known picks, one list of them, of data in the layout they come in.
Bound bind_picks(const BindRequest& r) {
  const Tensor* known = r.in.constant(1);
  if (!known) return Refuse{"the indices are not known at compile time"};
  if (known->rank() != 1) return Refuse{"the indices are no list"};
  if (r.in_dtype(0) == DType::string) return Refuse{"the data are strings"};
  const Layout layout = r.layout(0);
  const Shape x = physical_shape(r.in_shape(0), layout);
  const size_t axis =
      physical_axis(AttributeReader(*r.room, r.attrs).integer("axis", 0), x.size(), layout);
  if (product(x, axis + 1, x.size()) != 1) return Refuse{"slices of several elements are picked"};
  std::vector<int64_t> picks = known->to_i64();
  for (int64_t& pick : picks) {
    if (pick < 0) pick += x[axis];
    if (pick < 0 || pick >= x[axis]) return Refuse{"an index is outside the axis"};
  }
  const auto lanes =
      std::make_shared<const kernels::LanePicks>(x[axis], picks, size_of(r.in_dtype(0)));
  auto kernel =
      function_kernel("lane picks", [lanes, rows = product(x, 0, axis)](const KernelArgs& k) {
        lanes->run(k.in[0], k.out[0], rows);
      });
  kernel->operand_layouts = {layout, Layout::kPlain};
  kernel->result_layouts = {layout};
  kernel->absorbed = {1};
  return kernel;
}

Bound bind_gather(const BindRequest& r) {
  if (r.in_dtype(0) == DType::string) return Refuse{"the data are strings"};
  if (r.in_dtype(1) != DType::i64) return Refuse{"the indices are not i64"};
  const auto s = shape_of(r, r.in_shape(0), r.in[1].numel());
  return function_kernel(
      "gather", [s, width = size_of(r.in_dtype(0)), where = r.in.where()](const KernelArgs& k) {
        const auto* picks = k.read<int64_t>(1);
        const int64_t bad = kernels::gather(s, width, k.in[0], picks, k.out[0]);
        if (bad >= 0) outside(where, picks[bad], s.extent);
      });
}

Bound bind_gather_grad(const BindRequest& r) {
  const DType type = r.in_dtype(0);
  if (type != DType::f32 && type != DType::bf16)
    return Refuse{"the gradient is " + std::string(name_of(type))};
  if (r.in_dtype(1) != DType::i64) return Refuse{"the indices are not i64"};
  const auto s = shape_of(r, r.out_shape(0), r.in[1].numel());
  auto kernel =
      function_kernel("gather_grad", [s, type, where = r.in.where()](const KernelArgs& k) {
        const auto* picks = k.read<int64_t>(1);
        const int64_t bad = kernels::gather_grad(s, type, k.in[0], picks, k.out[0]);
        if (bad >= 0) outside(where, picks[bad], s.extent);
      });
  kernel->absorbed = {2};
  return kernel;
}

}  // namespace

Entries gather_entries() {
  return {{"Gather", {"lane picks", bind_picks}},
          {"Gather", {"gather", bind_gather}},
          {"espalier.GatherGrad", {"gather_grad", bind_gather_grad}}};
}

}  // namespace espalier::bind
