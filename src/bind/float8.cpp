// Numbers as 8-bit floats and back.
#include "kernels/float8.h"

#include "bind/attribute_reader.h"
#include "bind/families.h"
#include "bind/optimiser_step.h"

namespace espalier::bind {
namespace {

constexpr const char *kQuantize = "espalier.QuantizeFloat8",
                     *kDequantize = "espalier.DequantizeFloat8";

bool lanes(DType t) { return t == DType::f32 || t == DType::bf16; }

Bound bind_quantize(const BindRequest& r) {
  const DType type = r.in_dtype(0);
  if (!lanes(type)) return Refuse{"the operand is " + std::string(name_of(type))};
  for (bool w : r.wanted)
    if (!w) return Refuse{"a result is not asked for"};
  const Float8Groups groups = float8_groups(*r.room, r.attrs);
  const int64_t n = r.in[0].numel();
  return function_kernel("quantize_float8", [groups, type, n](const KernelArgs& k) {
    kernels::store_float8(n, groups, type, k.in[0], k.write<uint8_t>(0), k.write<bfloat16>(1));
  });
}

Bound bind_dequantize(const BindRequest& r) {
  const DType type = r.out_dtype(0);
  if (!lanes(type)) return Refuse{"the result is " + std::string(name_of(type))};
  if (r.in_dtype(1) != DType::bf16)
    return Refuse{"the scales are " + std::string(name_of(r.in_dtype(1)))};
  const Float8Groups groups = float8_groups(*r.room, r.attrs);
  const int64_t n = r.in[0].numel();
  return function_kernel("dequantize_float8", [groups, type, n](const KernelArgs& k) {
    kernels::load_float8(n, groups, k.read<uint8_t>(0), k.read<bfloat16>(1), type, k.out[0]);
  });
}

}  // namespace

Float8Groups float8_groups(const Room& room, const Attributes& attrs) {
  const AttributeReader a(room, attrs);
  return {float8_named(a.get<std::string>("format", "e4m3")), a.integer("group", 0),
          a.integer("expand", 0) != 0};
}

bool reads_float8(const Graph& g, NodeId id) { return g.node(id).room->full_name() == kDequantize; }
bool writes_float8(const Graph& g, NodeId id) { return g.node(id).room->full_name() == kQuantize; }

Entries float8_entries() {
  return {{kQuantize, {"float8", bind_quantize}}, {kDequantize, {"float8", bind_dequantize}}};
}

}  // namespace espalier::bind
