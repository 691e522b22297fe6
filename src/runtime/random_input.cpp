#include "runtime/random_input.h"

namespace espalier {

Tensor random_input(const TensorType& type, const Rng& rng) {
  if (!is_float(type.dtype) || type.rank() == 0) return Tensor(type.dtype, type.shape());
  Tensor t(DType::f32, type.shape());
  for (int64_t i = 0; i < t.size(); ++i)
    t.mutable_data<float>()[i] = float(rng.uniform(uint64_t(i), -1, 1));
  return t.cast(type.dtype);
}

}  // namespace espalier
