// Comma-separated values (RFC 4180): quoted cells, LF or CRLF, an optional header line.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/tensor.h"

namespace espalier {

struct CsvTable {
  std::vector<std::string> columns;            ///< names from the header; empty without one
  std::vector<std::vector<std::string>> rows;  ///< cells as text, all rows equally wide
  std::vector<int64_t> lines;                  ///< line in the file where each row begins

  size_t width() const { return rows.empty() ? columns.size() : rows[0].size(); }
  /// A column by name, or by number from 0. Throws UserError listing the columns.
  size_t column(const std::string& name_or_number, const std::string& where) const;
};

enum class CsvHeader {
  guess,  ///< the first line is a header when none of its cells is a number
  present,
  absent,
};

/// Throws UserError naming the line when rows differ in width or a quote is left open.
CsvTable read_csv(std::string_view bytes, const std::string& where,
                  CsvHeader header = CsvHeader::guess, char separator = ',');
CsvTable load_csv(const std::filesystem::path& path, CsvHeader header = CsvHeader::guess,
                  char separator = ',');

/// A cell's number, blanks around it and a leading + allowed; nothing when it is none.
std::optional<double> csv_number(std::string_view cell);

/// f64 [rows, columns.size()] of the given columns. Throws UserError naming line and column of a
/// cell that is not a number; an empty cell is not one.
Tensor numeric_columns(const CsvTable& table, const std::vector<size_t>& columns,
                       const std::string& where);

}  // namespace espalier
