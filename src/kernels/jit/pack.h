// Operands of generated products in the order their inner loop reads them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace espalier::kernels {

/// A matrix [k, n] where it lies; strides in elements.
struct MatrixView {
  const float* data = nullptr;
  int64_t k = 0, n = 0, k_stride = 0, n_stride = 0;
};

/// b cut into panels of whole vectors, whose widths differ by one vector at most; each panel holds
/// its columns for one k after the other, padded with zeros. 64-byte aligned.
class PackedColumns {
 public:
  PackedColumns(const MatrixView& b, int64_t panels);
  ~PackedColumns();
  PackedColumns(const PackedColumns&) = delete;
  PackedColumns& operator=(const PackedColumns&) = delete;
  const float* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  float* data_ = nullptr;
  size_t bytes_ = 0;
};

/// Packed now, or what is still held for equal contents cut alike. Any thread may call.
std::shared_ptr<const PackedColumns> packed_columns(const MatrixView& b, int64_t panels);

/// `rows` rows of a (elements `stride` apart) for `depth` steps of k: rows numbers for each step.
void pack_rows(const float* a, int64_t stride, int64_t rows, int64_t depth, float* packed);

}  // namespace espalier::kernels
