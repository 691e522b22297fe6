#include "tensor/text_numbers.h"

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <system_error>

namespace espalier {
namespace {

template <class T>
std::string text_of(T v) {
  [[maybe_unused]] char digits[64];
  if constexpr (std::is_same_v<T, bool>) {
    return v ? "True" : "False";
  } else if constexpr (std::is_same_v<T, bfloat16> || std::is_same_v<T, float16>) {
    return text_of(float(v));
  } else if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(v)) return "NaN";
    if (std::isinf(v)) return v > 0 ? "INF" : "-INF";
    const T size = std::abs(v);
    const bool plain = size == 0 || (size >= T(1e-4) && size < T(1e16));
    const auto end =
        std::to_chars(digits, digits + sizeof digits, v,
                      plain ? std::chars_format::fixed : std::chars_format::scientific);
    const std::string text(digits, end.ptr);
    return plain && text.find('.') == std::string::npos ? text + ".0" : text;
  } else {
    return std::string(digits, std::to_chars(digits, digits + sizeof digits, v).ptr);
  }
}

[[noreturn]] void no_number(const std::string& text, DType to) {
  throw bad_input("'" + text.substr(0, 40) + "'", "is no " + std::string(name_of(to)),
                  "strings that are cast must be numbers of that type");
}

template <class T>
T number_of(const std::string& text) {
  constexpr DType type = dtype_of<T>::value;
  if constexpr (std::is_same_v<T, bool>) {
    if (text == "True" || text == "true" || text == "1") return true;
    if (text == "False" || text == "false" || text == "0") return false;
    no_number(text, type);
  } else if constexpr (std::is_same_v<T, bfloat16> || std::is_same_v<T, float16>) {
    return T(number_of<float>(text));
  } else {
    const char *first = text.data(), *last = first + text.size();
    if (text.size() > 1 && text[0] == '+' && text[1] != '-') ++first;
    T v{};
    const auto [end, error] = std::from_chars(first, last, v);
    if (end != last || first == last || error == std::errc::invalid_argument) no_number(text, type);
    if (error == std::errc::result_out_of_range) {
      // Too small or too large a float is zero or infinity, as arithmetic would give.
      if constexpr (std::is_same_v<T, float>)
        return std::strtof(text.c_str(), nullptr);
      else if constexpr (std::is_same_v<T, double>)
        return std::strtod(text.c_str(), nullptr);
      else
        no_number(text, type);
    }
    return v;
  }
}

}  // namespace

Tensor numbers_as_text(const Tensor& numbers) {
  Tensor text(DType::string, numbers.shape());
  auto* to = text.mutable_data<std::string>();
  visit_numeric(numbers.dtype(), [&](auto tag) {
    const auto* from = numbers.data<decltype(tag)>();
    for (int64_t i = 0; i < numbers.size(); ++i) to[i] = text_of(from[i]);
  });
  return text;
}

Tensor text_as_numbers(const Tensor& text, DType to) {
  Tensor numbers(to, text.shape());
  const auto* from = text.data<std::string>();
  visit_numeric(to, [&](auto tag) {
    auto* p = numbers.mutable_data<decltype(tag)>();
    for (int64_t i = 0; i < text.size(); ++i) p[i] = number_of<decltype(tag)>(from[i]);
  });
  return numbers;
}

}  // namespace espalier
