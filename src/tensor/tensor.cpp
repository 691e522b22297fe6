#include "tensor/tensor.h"

#include <cstdlib>
#include <limits>
#include <memory>

#include "tensor/text_numbers.h"

namespace espalier {
namespace {

std::shared_ptr<void> allocate(DType dtype, int64_t count) {
  if (dtype == DType::string) {
    auto strings = std::make_shared<std::vector<std::string>>(size_t(count));
    return std::shared_ptr<void>(strings, strings->data());
  }
  // calloc's large blocks are zero without being written: pages that nobody writes take no memory.
  constexpr size_t kAlignment = 64;
  size_t room = size_t(count) * size_of(dtype) + 2 * kAlignment;
  const std::shared_ptr<void> block(std::calloc(room, 1), std::free);
  void* p = block.get();
  if (!std::align(kAlignment, room - kAlignment, p, room))
    throw bad_input("memory", "a tensor of " + std::to_string(room) + " bytes does not fit",
                    "use a smaller batch or model");
  return {block, p};
}

int64_t checked_size(const Shape& shape) {
  for (int64_t d : shape)
    if (d < 0) throw bad_input("shape " + to_string(shape), "has a negative dimension");
  return numel(shape);
}

}  // namespace

Tensor::Tensor(DType dtype, Shape shape)
    : dtype_(dtype), shape_(std::move(shape)), size_(checked_size(shape_)) {
  if (size_ > std::numeric_limits<int64_t>::max() / 64)
    throw bad_input("shape " + to_string(shape_), "is too large for memory");
  owner_ = allocate(dtype_, size_);
  data_ = owner_.get();
}

Tensor::Tensor(DType dtype, Shape shape, std::shared_ptr<const void> owner, const void* data)
    : dtype_(dtype),
      shape_(std::move(shape)),
      size_(checked_size(shape_)),
      owner_(std::move(owner)),
      data_(data),
      writable_(false) {}

void* Tensor::mutable_raw() {
  ESP_CHECK(writable_, "a view of foreign memory is read-only");
  return const_cast<void*>(data_);
}

Tensor Tensor::clone() const {
  Tensor t(dtype_, shape_);
  if (dtype_ == DType::string) {
    const auto* from = static_cast<const std::string*>(data_);
    std::copy(from, from + size_, static_cast<std::string*>(t.mutable_raw()));
  } else if (bytes() > 0) {
    std::memcpy(t.mutable_raw(), data_, bytes());
  }
  return t;
}

Tensor Tensor::reshaped(Shape shape) const {
  Tensor t = *this;
  ESP_CHECK(numel(shape) == size_, "reshape changes the element count");
  t.shape_ = std::move(shape);
  return t;
}

Tensor Tensor::cast(DType to) const {
  if (to == dtype_) return *this;
  if (to == DType::string) return numbers_as_text(*this);
  if (dtype_ == DType::string) return text_as_numbers(*this, to);
  Tensor result(to, shape_);
  const bool ok = visit_numeric(dtype_, [&](auto from_tag) {
    using From = decltype(from_tag);
    const bool inner = visit_numeric(to, [&](auto to_tag) {
      using To = decltype(to_tag);
      const From* in = data<From>();
      To* out = result.mutable_data<To>();
      for (int64_t i = 0; i < size_; ++i) out[i] = convert_element<To>(in[i]);
    });
    ESP_CHECK(inner, "cast to string");
  });
  ESP_CHECK(ok, "cast from string");
  return result;
}

bool Tensor::identical(const Tensor& other) const {
  if (dtype_ != other.dtype_ || shape_ != other.shape_) return false;
  if (dtype_ == DType::string) {
    const auto* a = static_cast<const std::string*>(data_);
    return std::equal(a, a + size_, static_cast<const std::string*>(other.data_));
  }
  return bytes() == 0 || std::memcmp(data_, other.data_, bytes()) == 0;
}

double Tensor::at(int64_t i) const {
  ESP_CHECK(i >= 0 && i < size_, "element index out of range");
  double v = 0;
  visit_numeric(dtype_, [&](auto tag) { v = convert_element<double>(data<decltype(tag)>()[i]); });
  return v;
}

int64_t Tensor::int_at(int64_t i) const {
  ESP_CHECK(i >= 0 && i < size_, "element index out of range");
  int64_t v = 0;
  visit_numeric(dtype_, [&](auto tag) { v = convert_element<int64_t>(data<decltype(tag)>()[i]); });
  return v;
}

std::vector<int64_t> Tensor::to_i64() const {
  std::vector<int64_t> v(static_cast<size_t>(size_));
  visit_numeric(dtype_, [&](auto tag) {
    const auto* p = data<decltype(tag)>();
    for (int64_t i = 0; i < size_; ++i) v[size_t(i)] = convert_element<int64_t>(p[i]);
  });
  return v;
}

}  // namespace espalier
