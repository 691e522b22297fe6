// Operators whose result is their operand's bytes under another shape.
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

}  // namespace

Entries view_entries() {
  Entries e;
  for (const char* name : {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"})
    e.push_back({name, {"view", bind_view}});
  return e;
}

}  // namespace espalier::bind
