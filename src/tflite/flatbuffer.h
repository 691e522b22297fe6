// FlatBuffers as bytes: tables whose fields are found through a table of offsets, lists, strings.
// Every read is checked against the bytes there are; a file is never trusted.
//
// The format: a table begins with the distance back to its vtable, which holds its own size, the
// table's size, and for each field the field's offset in the table (0: absent). Strings, lists and
// tables are reached by unsigned distances forward. Everything is little-endian.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace espalier::tflite {

static_assert(std::endian::native == std::endian::little, "FlatBuffers are little-endian");

/// The bytes of one file. Tables refer to it, so it outlives them.
class FlatBuffer {
 public:
  /// `where` names the file in errors.
  FlatBuffer(std::string_view bytes, std::string where);
  FlatBuffer(const FlatBuffer&) = delete;
  FlatBuffer& operator=(const FlatBuffer&) = delete;

  std::string_view bytes() const { return bytes_; }
  const std::string& where() const { return where_; }
  /// UserError(bad input): the file is damaged, in that way.
  [[noreturn]] void fail(const std::string& what) const;

  /// The bytes [at, at + count). UserError where they are not all there.
  std::string_view take(uint64_t at, uint64_t count) const;
  template <class T>
  T scalar(uint64_t at) const {
    static_assert(std::is_arithmetic_v<T>);
    T value;
    std::memcpy(&value, take(at, sizeof(T)).data(), sizeof(T));
    return value;
  }
  /// Counts what lists hold. Tables may be shared, so that a small file could claim to be a huge
  /// one: what is read in all is bounded by what is there.
  void spend(uint64_t bytes) const;

 private:
  std::string_view bytes_;
  std::string where_;
  mutable uint64_t left_;
};

/// A table, or none (every field of which is absent).
class FlatTable {
 public:
  FlatTable() = default;
  FlatTable(const FlatBuffer& buffer, uint64_t at);
  /// The table a file begins with.
  static FlatTable root(const FlatBuffer& buffer);

  bool exists() const { return buffer_ != nullptr; }
  bool has(int field) const { return place(field) != 0; }
  template <class T>
  T scalar(int field, T otherwise) const {
    const uint64_t at = place(field, sizeof(T));
    return at == 0 ? otherwise : buffer_->scalar<T>(at);
  }
  bool boolean(int field, bool otherwise = false) const {
    return scalar<uint8_t>(field, otherwise ? 1 : 0) != 0;
  }
  FlatTable table(int field) const;
  std::string string(int field) const;
  std::string_view bytes(int field) const;
  template <class T>
  std::vector<T> list(int field) const {
    const std::string_view data = elements(field, sizeof(T));
    std::vector<T> values(data.size() / sizeof(T));
    if (!values.empty()) std::memcpy(values.data(), data.data(), data.size());
    return values;
  }
  std::vector<FlatTable> tables(int field) const;

 private:
  /// Where the field lies; 0 when it is absent.
  uint64_t place(int field, uint64_t width = 1) const;
  /// What the offset in the field leads to; 0 when it is absent.
  uint64_t target(int field) const;
  /// The elements of a list.
  std::string_view elements(int field, uint64_t width) const;

  const FlatBuffer* buffer_ = nullptr;
  uint64_t at_ = 0, fields_ = 0, size_ = 0;
  uint16_t vtable_size_ = 0;
};

}  // namespace espalier::tflite
