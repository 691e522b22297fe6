// Batches of requests: tensors joined along their first axis and taken apart again.
#pragma once

#include <span>

#include "tensor/tensor.h"

namespace espalier::serve {

inline int64_t rows_of(const Tensor& t) { return t.shape().at(0); }

/// The parts' rows one after another, the last one repeated up to `rows`. Parts are of one type and
/// have at least one row each. A single part of `rows` rows is returned as it is.
Tensor stacked(std::span<const Tensor* const> parts, int64_t rows);

/// Rows [begin, begin + count) of a batch; the batch itself where that is all of them.
Tensor rows_from(const Tensor& batch, int64_t begin, int64_t count);

}  // namespace espalier::serve
