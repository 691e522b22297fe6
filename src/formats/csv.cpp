#include "formats/csv.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "formats/gzip.h"

namespace espalier {
namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::string line(const std::string& where, int64_t number) {
  return where + ": line " + std::to_string(number);
}

/// Walks over cells and lines; knows the quoting rules.
class Scanner {
 public:
  Scanner(std::string_view text, const std::string& where, char separator)
      : text_(text), where_(where), separator_(separator) {
    if (text_.starts_with("\xEF\xBB\xBF")) at_ = 3;  // byte order mark
  }

  bool done() const { return at_ >= text_.size(); }
  int64_t line_number() const { return line_; }

  /// The cells of the next line; none for an empty line.
  std::vector<std::string> row() {
    std::vector<std::string> cells;
    if (end_of_line()) return cells;
    for (;;) {
      cells.push_back(at_ < text_.size() && text_[at_] == '"' ? quoted_cell() : plain_cell());
      if (end_of_line()) return cells;
      if (text_[at_] != separator_)
        throw bad_input(line(where_, line_), "has text after a closing quote");
      ++at_;
    }
  }

 private:
  bool end_of_line() {
    if (done()) return true;
    if (text_.substr(at_).starts_with("\r\n")) ++at_;
    if (text_[at_] != '\n') return false;
    ++at_;
    ++line_;
    return true;
  }
  std::string plain_cell() {
    size_t end = at_;
    while (end < text_.size() && text_[end] != separator_ && text_[end] != '\n' &&
           !text_.substr(end).starts_with("\r\n"))
      ++end;
    std::string cell(text_.substr(at_, end - at_));
    at_ = end;
    return cell;
  }
  std::string quoted_cell() {
    const int64_t opened = line_;
    std::string cell;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '\n') ++line_;
      if (text_[at_] != '"') {
        cell += text_[at_];
      } else if (text_.substr(at_ + 1).starts_with('"')) {
        cell += text_[++at_];
      } else {
        ++at_;
        return cell;
      }
    }
    throw bad_input(line(where_, opened), "opens a quote that is never closed");
  }

  std::string_view text_;
  const std::string& where_;
  const char separator_;
  size_t at_ = 0;
  int64_t line_ = 1;
};

bool looks_like_header(const std::vector<std::string>& cells) {
  return std::none_of(cells.begin(), cells.end(),
                      [](const std::string& c) { return csv_number(c).has_value(); });
}

}  // namespace

std::optional<double> csv_number(std::string_view cell) {
  cell = trimmed(cell);
  if (cell.starts_with('+')) cell.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  if (error != std::errc() || end != cell.data() + cell.size()) return std::nullopt;
  return value;
}

CsvTable read_csv(std::string_view bytes, const std::string& where, CsvHeader header,
                  char separator) {
  CsvTable table;
  Scanner scanner(bytes, where, separator);
  size_t width = 0;
  while (!scanner.done()) {
    const int64_t at = scanner.line_number();
    std::vector<std::string> cells = scanner.row();
    if (cells.empty()) continue;
    const bool first = width == 0;
    if (first) width = cells.size();
    if (cells.size() != width)
      throw bad_input(line(where, at), "has " + std::to_string(cells.size()) +
                                           " cells, the lines before have " +
                                           std::to_string(width));
    if (first && (header == CsvHeader::present ||
                  (header == CsvHeader::guess && looks_like_header(cells)))) {
      for (std::string& cell : cells) cell = std::string(trimmed(cell));
      table.columns = std::move(cells);
      continue;
    }
    table.lines.push_back(at);
    table.rows.push_back(std::move(cells));
  }
  if (table.rows.empty()) throw bad_input(where, "holds no rows");
  return table;
}

CsvTable load_csv(const std::filesystem::path& path, CsvHeader header, char separator) {
  return read_csv(read_file_gunzipped(path), path.string(), header, separator);
}

size_t CsvTable::column(const std::string& name_or_number, const std::string& where) const {
  const auto found = std::find(columns.begin(), columns.end(), name_or_number);
  if (found != columns.end()) return size_t(found - columns.begin());
  size_t index = 0;
  const char* end = name_or_number.data() + name_or_number.size();
  const auto parsed = std::from_chars(name_or_number.data(), end, index);
  if (parsed.ec == std::errc() && parsed.ptr == end && index < width()) return index;
  std::string known;
  for (const std::string& c : columns) known += (known.empty() ? "" : ", ") + c;
  throw bad_input(where, "has no column '" + name_or_number + "'",
                  known.empty() ? "columns are numbered from 0 to " + std::to_string(width() - 1)
                                : "columns are " + known);
}

Tensor numeric_columns(const CsvTable& table, const std::vector<size_t>& columns,
                       const std::string& where) {
  Tensor values(DType::f64, {int64_t(table.rows.size()), int64_t(columns.size())});
  double* out = values.mutable_data<double>();
  for (size_t r = 0; r < table.rows.size(); ++r)
    for (size_t c : columns) {
      const std::string& cell = table.rows[r][c];
      const auto value = csv_number(cell);
      if (!value)
        throw bad_input(line(where, table.lines[r]),
                        "'" + cell + "' in column " +
                            (table.columns.empty() ? std::to_string(c) : table.columns[c]) +
                            " is not a number");
      *out++ = *value;
    }
  return values;
}

}  // namespace espalier
