#include "serve/rows.h"

namespace espalier::serve {
namespace {

Shape with_rows(Shape shape, int64_t rows) {
  shape.at(0) = rows;
  return shape;
}

/// Elements [from, from + count) of `source` to `to` onwards.
void copy(const Tensor& source, int64_t from, int64_t count, Tensor& target, int64_t to) {
  if (count == 0) return;
  if (source.dtype() == DType::string) {
    const auto* in = source.data<std::string>();
    std::copy(in + from, in + from + count, target.mutable_data<std::string>() + to);
    return;
  }
  const size_t size = size_of(source.dtype());
  std::memcpy(static_cast<char*>(target.mutable_raw()) + size_t(to) * size,
              static_cast<const char*>(source.raw()) + size_t(from) * size, size_t(count) * size);
}

}  // namespace

Tensor stacked(std::span<const Tensor* const> parts, int64_t rows) {
  const Tensor& first = *parts[0];
  if (parts.size() == 1 && rows_of(first) == rows) return first;
  Tensor batch(first.dtype(), with_rows(first.shape(), rows));
  const int64_t row = batch.size() / rows;
  int64_t filled = 0;
  for (const Tensor* part : parts) {
    ESP_CHECK(rows_of(*part) > 0 && filled + rows_of(*part) <= rows, "a batch holds its parts");
    copy(*part, 0, part->size(), batch, filled * row);
    filled += rows_of(*part);
  }
  for (; filled < rows; ++filled)
    copy(*parts.back(), parts.back()->size() - row, row, batch, filled * row);
  return batch;
}

Tensor rows_from(const Tensor& batch, int64_t begin, int64_t count) {
  if (begin == 0 && count == rows_of(batch)) return batch;
  Tensor rows(batch.dtype(), with_rows(batch.shape(), count));
  const int64_t row = batch.size() / rows_of(batch);
  copy(batch, begin * row, count * row, rows, 0);
  return rows;
}

}  // namespace espalier::serve
