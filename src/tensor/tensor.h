// A dense row-major tensor with shared storage.
//
// Copying a Tensor shares its elements; `clone` copies them. Elements are changed only through
// `mutable_data`, by whoever just made the tensor; everyone else treats tensors as values.
#pragma once

#include <cstring>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace espalier {

class Tensor {
 public:
  Tensor() = default;  ///< f32, shape [0]
  /// Zero-filled (empty strings), 64-byte aligned. Throws UserError on negative extents.
  Tensor(DType dtype, Shape shape);
  /// A view of memory that `owner` keeps alive (a mapped file, say); `data` must hold numel
  /// elements and be aligned for them.
  Tensor(DType dtype, Shape shape, std::shared_ptr<const void> owner, const void* data);

  template <class T>
  static Tensor from(Shape shape, std::span<const T> values) {
    Tensor t(dtype_of<T>::value, std::move(shape));
    ESP_CHECK(t.size() == int64_t(values.size()), "value count does not match the shape");
    std::copy(values.begin(), values.end(), t.mutable_data<T>());
    return t;
  }
  template <class T>
  static Tensor from(Shape shape, std::initializer_list<T> values) {
    return from<T>(std::move(shape), std::span<const T>(values.begin(), values.size()));
  }
  template <class T>
  static Tensor scalar(T value) {
    return from<T>({}, std::span<const T>(&value, 1));
  }
  static Tensor vector_i64(std::span<const int64_t> values) {
    return from<int64_t>({int64_t(values.size())}, values);
  }

  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t rank() const { return int64_t(shape_.size()); }
  int64_t size() const { return size_; }
  size_t bytes() const { return size_t(size_) * size_of(dtype_); }

  const void* raw() const { return data_; }
  void* mutable_raw();
  template <class T>
  const T* data() const {
    ESP_CHECK(dtype_of<T>::value == dtype_, "tensor read as another element type");
    return static_cast<const T*>(data_);
  }
  template <class T>
  T* mutable_data() {
    ESP_CHECK(dtype_of<T>::value == dtype_, "tensor written as another element type");
    return static_cast<T*>(mutable_raw());
  }
  template <class T>
  std::span<const T> span() const {
    return {data<T>(), size_t(size_)};
  }

  Tensor clone() const;
  /// The same elements under another shape of equal size.
  Tensor reshaped(Shape shape) const;
  /// Elements converted to another type: integers wrap, floats truncate toward zero, numbers are
  /// written as text that reads back as themselves. UserError for text that is no number of `to`.
  Tensor cast(DType to) const;
  /// Equal type, shape and bytes (so NaN equals the same NaN, and 0 differs from -0).
  bool identical(const Tensor& other) const;

  /// Element `i` as double, or as int64 (numeric types only).
  double at(int64_t i) const;
  int64_t int_at(int64_t i) const;
  /// All elements as int64 (integer or boolean tensors).
  std::vector<int64_t> to_i64() const;

 private:
  DType dtype_ = DType::f32;
  Shape shape_ = {0};
  int64_t size_ = 0;
  std::shared_ptr<const void> owner_;
  const void* data_ = nullptr;
  bool writable_ = true;
};

/// Converts between float and integer element representations the way Tensor::cast does.
template <class To, class From>
To convert_element(From v) {
  if constexpr (std::is_same_v<To, bool>) {
    if constexpr (std::is_same_v<From, bfloat16> || std::is_same_v<From, float16>)
      return float(v) != 0.0f;
    else
      return v != From{};
  } else if constexpr (std::is_same_v<From, bfloat16> || std::is_same_v<From, float16>) {
    return convert_element<To>(float(v));
  } else if constexpr (std::is_same_v<To, bfloat16> || std::is_same_v<To, float16>) {
    return To(float(v));
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    // Out of range and NaN are undefined in C++; saturate instead, NaN to 0.
    if (v != v) return To{0};
    constexpr double lo = double(std::numeric_limits<To>::min());
    constexpr double hi = double(std::numeric_limits<To>::max());
    if (double(v) <= lo) return std::numeric_limits<To>::min();
    if (double(v) >= hi) return std::numeric_limits<To>::max();
    return To(v);
  } else {
    return static_cast<To>(v);
  }
}

}  // namespace espalier
