#include "cli/values.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <optional>

namespace espalier::cli {
namespace {

template <class T>
std::optional<T> parsed(const std::string& text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string written(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

}  // namespace

CLI::Validator whole_number(int64_t least, int64_t most) {
  const std::string bounds =
      most == std::numeric_limits<int64_t>::max()
          ? "of at least " + std::to_string(least)
          : "between " + std::to_string(least) + " and " + std::to_string(most);
  return CLI::Validator(
      [=](std::string& text) {
        const auto value = parsed<int64_t>(text);
        if (!value || *value < least || *value > most)
          return "'" + text + "' is not a whole number " + bounds;
        text = std::to_string(*value);  // "010" is ten, whatever the parser behind thinks
        return std::string();
      },
      "");
}

CLI::Validator finite_number(double least, double most) {
  const std::string bounds = std::isinf(most)
                                 ? "of at least " + written(least)
                                 : "between " + written(least) + " and " + written(most);
  return CLI::Validator(
      [=](std::string& text) {
        const auto value = parsed<double>(text);
        if (!value || !std::isfinite(*value) || *value < least || *value > most)
          return "'" + text + "' is not a number " + bounds;
        return std::string();
      },
      "");
}

CLI::Validator given(const std::string& what) {
  return CLI::Validator(
      [what](std::string& text) { return text.empty() ? what + " is empty" : std::string(); }, "");
}

}  // namespace espalier::cli
