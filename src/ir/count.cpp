#include "ir/count.h"

namespace espalier {
namespace {

/// Weights are 8 bits wide and of several axes (with one, they are zero points), biases 32 bits.
/// Integers of 64 bits are shapes and indices.
bool is_quantized_parameter(const Tensor& t) {
  if (t.dtype() == DType::i32) return t.rank() > 0;
  return (t.dtype() == DType::i8 || t.dtype() == DType::u8) && t.rank() > 1;
}

}  // namespace

int64_t learned_elements(const Value& value) {
  if (!value.constant) return 0;
  const bool learned = value.role == Role::kParameter || is_quantized_parameter(*value.constant);
  return learned ? value.constant->size() : 0;
}

int64_t parameter_count(const Graph& graph) {
  int64_t count = 0;
  for (ValueId v : graph.constants()) count += learned_elements(graph.value(v));
  return count;
}

int64_t constant_bytes(const Graph& graph) {
  int64_t bytes = 0;
  for (ValueId v : graph.constants()) bytes += int64_t(graph.value(v).constant->bytes());
  return bytes;
}

}  // namespace espalier
