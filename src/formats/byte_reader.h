// Bounded reading of binary formats: every read past the end is a UserError that names the file.
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "base/error.h"
#include "tensor/tensor.h"

namespace espalier {

/// Reverses the bytes of each `width`-byte element of `bytes` in place.
inline void reverse_elements(char* bytes, size_t count, size_t width) {
  for (size_t i = 0; i < count; ++i)
    for (size_t a = i * width, b = a + width - 1; a < b; ++a, --b) std::swap(bytes[a], bytes[b]);
}

class ByteReader;

/// The rest of `in` as a new tensor, which must fill it exactly. Elements are copied as they are.
Tensor read_array(ByteReader& in, DType type, const Shape& shape);

class ByteReader {
 public:
  /// `where` names the file in errors; `bytes` must outlive the reader.
  ByteReader(std::string_view bytes, std::string where) : bytes_(bytes), where_(std::move(where)) {}

  size_t position() const { return position_; }
  size_t remaining() const { return bytes_.size() - position_; }
  const std::string& where() const { return where_; }

  /// The next `n` bytes. `what` names them in the error.
  std::string_view take(size_t n, const char* what) {
    if (n > remaining())
      throw bad_input(where_,
                      std::string("is truncated: ") + what + " needs " + std::to_string(n) +
                          " bytes at offset " + std::to_string(position_) + ", " +
                          std::to_string(remaining()) + " are left",
                      "fetch or write the file again");
    const std::string_view part = bytes_.substr(position_, n);
    position_ += n;
    return part;
  }
  template <std::unsigned_integral T>
  T little(const char* what) {
    return read<T>(what, std::endian::native == std::endian::little);
  }
  template <std::unsigned_integral T>
  T big(const char* what) {
    return read<T>(what, std::endian::native == std::endian::big);
  }

 private:
  template <class T>
  T read(const char* what, bool native) {
    T value;
    std::memcpy(&value, take(sizeof(T), what).data(), sizeof(T));
    if (!native) reverse_elements(reinterpret_cast<char*>(&value), 1, sizeof(T));
    return value;
  }

  std::string_view bytes_;
  std::string where_;
  size_t position_ = 0;
};

inline Tensor read_array(ByteReader& in, DType type, const Shape& shape) {
  int64_t count = 0;
  try {
    count = numel(shape);
  } catch (const UserError& e) {
    throw e.within(in.where());
  }
  const size_t width = size_of(type);
  // Compared by division first: a claimed size may not fit once multiplied.
  if (uint64_t(count) > in.remaining() / width) in.take(in.remaining() + 1, "the data");
  const std::string_view data = in.take(size_t(count) * width, "the data");
  if (in.remaining() > 0)
    throw bad_input(in.where(), "has " + std::to_string(in.remaining()) + " bytes after its data");
  Tensor tensor(type, shape);
  if (!data.empty()) std::memcpy(tensor.mutable_raw(), data.data(), data.size());
  return tensor;
}

}  // namespace espalier
