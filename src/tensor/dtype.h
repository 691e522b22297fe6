// Element types: every ONNX tensor element type has a place here, kernels exist for what is needed.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace espalier {

enum class DType : uint8_t {
  f64,
  f32,
  bf16,
  f16,
  i64,
  i32,
  i16,
  i8,
  u64,
  u32,
  u16,
  u8,
  boolean,
  string
};

/// Bytes of one element (a string counts as sizeof(std::string)).
size_t size_of(DType type);
/// "f32", "bf16", "i64", "bool", "string": the names the text form uses.
std::string_view name_of(DType type);
std::optional<DType> dtype_from_name(std::string_view name);

constexpr bool is_float(DType t) { return t <= DType::f16; }
constexpr bool is_signed_int(DType t) { return t >= DType::i64 && t <= DType::i8; }
constexpr bool is_unsigned_int(DType t) { return t >= DType::u64 && t <= DType::u8; }
constexpr bool is_int(DType t) { return t >= DType::i64 && t <= DType::u8; }

/// bfloat16: the upper half of an f32. Conversion rounds to nearest even and keeps NaN.
struct bfloat16 {
  uint16_t bits = 0;
  bfloat16() = default;
  explicit bfloat16(float f) {
    uint32_t u = std::bit_cast<uint32_t>(f);
    if ((u & 0x7FFFFFFFu) > 0x7F800000u) {
      bits = uint16_t((u >> 16) | 0x40u);
    } else {
      bits = uint16_t((u + 0x7FFFu + ((u >> 16) & 1u)) >> 16);
    }
  }
  explicit operator float() const { return std::bit_cast<float>(uint32_t{bits} << 16); }
};

/// IEEE binary16, stored as bits; arithmetic happens in f32.
struct float16 {
  uint16_t bits = 0;
  float16() = default;
  explicit float16(float f);
  explicit operator float() const;
};

template <class T>
struct dtype_of;
#define ESP_DTYPE_OF(T, D)                   \
  template <>                                \
  struct dtype_of<T> {                       \
    static constexpr DType value = DType::D; \
  }
ESP_DTYPE_OF(double, f64);
ESP_DTYPE_OF(float, f32);
ESP_DTYPE_OF(bfloat16, bf16);
ESP_DTYPE_OF(float16, f16);
ESP_DTYPE_OF(int64_t, i64);
ESP_DTYPE_OF(int32_t, i32);
ESP_DTYPE_OF(int16_t, i16);
ESP_DTYPE_OF(int8_t, i8);
ESP_DTYPE_OF(uint64_t, u64);
ESP_DTYPE_OF(uint32_t, u32);
ESP_DTYPE_OF(uint16_t, u16);
ESP_DTYPE_OF(uint8_t, u8);
ESP_DTYPE_OF(bool, boolean);
ESP_DTYPE_OF(std::string, string);
#undef ESP_DTYPE_OF

/// Calls f(T{}) with the C++ type of a numeric or boolean element type. Strings are refused by
/// returning false.
template <class F>
bool visit_numeric(DType type, F&& f) {
  switch (type) {
    case DType::f64: f(double{}); return true;
    case DType::f32: f(float{}); return true;
    case DType::bf16: f(bfloat16{}); return true;
    case DType::f16: f(float16{}); return true;
    case DType::i64: f(int64_t{}); return true;
    case DType::i32: f(int32_t{}); return true;
    case DType::i16: f(int16_t{}); return true;
    case DType::i8: f(int8_t{}); return true;
    case DType::u64: f(uint64_t{}); return true;
    case DType::u32: f(uint32_t{}); return true;
    case DType::u16: f(uint16_t{}); return true;
    case DType::u8: f(uint8_t{}); return true;
    case DType::boolean: f(bool{}); return true;
    case DType::string: return false;
  }
  return false;
}

}  // namespace espalier
