// Products with weights of few bits, which stay packed.
#include "kernels/few_bits.h"

#include "bind/attribute_reader.h"
#include "bind/families.h"

namespace espalier::bind {
namespace {

Bound bind_few_bits(const BindRequest& r) {
  for (size_t i : {size_t{0}, size_t{2}, size_t{5}})
    if (r.in.has(i) && r.in_dtype(i) != DType::f32)
      return Refuse{"operand " + std::to_string(i) + " is " + std::string(name_of(r.in_dtype(i)))};
  const bool zeros = r.in.has(3), packed = zeros && r.in_dtype(3) == DType::u8;
  if (zeros && !packed && r.in_dtype(3) != DType::f32)
    return Refuse{"the zero points are " + std::string(name_of(r.in_dtype(3)))};
  const AttributeReader a(*r.room, r.attrs);
  kernels::FewBits s;
  s.k = a.integer("K", 0);
  s.n = a.integer("N", 0);
  s.bits = a.integer("bits", 4);
  s.block = a.integer("block_size", 0);
  s.rows = numel(r.in_shape(0)) / s.k;
  const bool bias = r.in.has(5);
  return function_kernel("few_bits", [s, zeros, packed, bias](const KernelArgs& k) {
    kernels::FewBitsOperands in;
    in.x = k.read<float>(0);
    in.w = k.read<uint8_t>(1);
    in.scales = k.read<float>(2);
    if (packed) in.zeros = k.read<uint8_t>(3);
    if (zeros && !packed) in.float_zeros = k.read<float>(3);
    if (bias) in.bias = k.read<float>(5);
    kernels::few_bits_product(s, in, k.write<float>(0));
  });
}

}  // namespace

Entries few_bits_entries() { return {{"com.microsoft.MatMulNBits", {"few_bits", bind_few_bits}}}; }

}  // namespace espalier::bind
