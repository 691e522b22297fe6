// How results are printed: tables and numbers for people, one object for scripts.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace espalier::cli {

/// `text` as it may stand on one line of a terminal: line breaks become blanks, other control
/// characters and bytes that are no UTF-8 become \xNN.
std::string printable(std::string_view text);

/// One line of JSON on standard output.
void print_json(const nlohmann::ordered_json& object);

/// Aligned columns; numbers to the right.
class Table {
 public:
  /// A column whose name begins with '>' is aligned to the right.
  explicit Table(std::vector<std::string> columns);
  void row(std::vector<std::string> cells);
  std::string text() const;
  void print() const;

 private:
  std::vector<std::vector<std::string>> rows_;
  std::vector<bool> right_;
};

/// "1,234,567".
std::string grouped(double count);
/// "1.23 M", "456 k", "12": three digits with a unit of thousands.
std::string short_count(double count);
/// "1.2 MB", with units of 1000.
std::string short_bytes(double bytes);
/// Digits that matter: "0.0123", "12.3".
std::string short_number(double value, int digits = 4);

}  // namespace espalier::cli
