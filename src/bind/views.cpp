// Operators whose result is their operand's bytes under another shape.
#include <algorithm>

#include "bind/contraction.h"
#include "bind/families.h"

namespace espalier::bind {
namespace {

Bound bind_view(const BindRequest& r) {
  if (r.in_dtype(0) != r.out_dtype(0)) return Refuse{"the element type changes"};
  if (r.in[0].numel() != r.out_type(0).numel()) return Refuse{"the number of elements changes"};
  for (size_t i = 1; i < r.wanted.size(); ++i)
    if (r.wanted[i]) return Refuse{"a second result is asked for"};
  auto kernel = view_kernel("view");
  for (size_t i = 1; i < r.in.size(); ++i)
    if (r.in.has(i)) kernel->absorbed.push_back(int(i));
  // One shape in and out: whatever the layout, it stays.
  if (r.in_shape(0) == r.out_shape(0)) {
    kernel->operand_layouts = {r.layout(0)};
    kernel->result_layouts = {r.layout(0)};
  }
  return kernel;
}

constexpr const char* kViews[] = {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"};

// Between equal scales the integers stay what they are.
Bound bind_quantized_view(const BindRequest& r) {
  auto parsed = contraction_of(r);
  if (auto* no = std::get_if<Refuse>(&parsed)) return *no;
  const Contraction& c = std::get<Contraction>(parsed);
  const auto known = std::find(std::begin(kViews), std::end(kViews), c.room->full_name());
  if (known == std::end(kViews)) return Refuse{"the region is around " + c.room->op.name};
  const auto& in = c[0].quant;
  if (!c.steps.empty() || !in || !c.quantized || c[0].outer != 0 || r.in.size() != 1)
    return Refuse{"the region does more than change the shape"};
  if (in->scales != c.quantized->scales || in->zero_points != c.quantized->zero_points)
    return Refuse{"the scale changes"};
  return bind_view(r);
}

}  // namespace

Entries view_entries() {
  Entries e;
  for (const char* name : kViews) e.push_back({name, {"view", bind_view}});
  e.push_back({"espalier.Fused", {"view", bind_quantized_view}});
  return e;
}

}  // namespace espalier::bind
