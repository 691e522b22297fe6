#include "diagram/source.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <numeric>

#include "base/error.h"
#include "diagram/axes.h"
#include "ir/text.h"

namespace espalier::diagram {
namespace {

constexpr std::string_view kVersion = "diagram 1";

/// The text form of a graph taken apart. Statements begin on lines indented by two blanks; what the
/// bodies in their attributes add stands deeper or closes them.
struct Statements {
  std::string header;  ///< graph "g"(…) -> (…)
  std::vector<std::string> all;
};

Statements statements_of(const std::string& text) {
  Statements s;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    if (s.header.empty())
      s.header = line.substr(0, line.rfind(" {"));
    else if (line.size() > 2 && line.starts_with("  ") && line[2] != ' ' && line[2] != '}')
      s.all.push_back(line.substr(2));
    else if (!s.all.empty() && line != "}")
      s.all.back() += "\n" + line;
  }
  return s;
}

/// A statement whose further lines are marked as such.
std::string continued(const std::string& statement) {
  std::string out;
  for (char c : statement) out += c == '\n' ? std::string("\n    | ") : std::string(1, c);
  return out;
}

/// Zeros that take no memory until somebody reads them.
Tensor zeros(const TensorType& type) {
  const Shape shape = type.shape();
  constexpr int64_t kMost = int64_t{1} << 36;
  const int64_t bytes = numel(shape) > kMost ? -1 : numel(shape) * int64_t(size_of(type.dtype));
  void* p = bytes < 0 ? nullptr : std::calloc(size_t(std::max<int64_t>(bytes, 1)), 1);
  if (!p) throw bad_input("constant " + to_string(type), "is too large for this machine's memory");
  return Tensor(type.dtype, shape, std::shared_ptr<const void>(p, std::free), p);
}

class Parser {
 public:
  Parser(std::string_view source, std::string file, const Constants* kept)
      : file_(std::move(file)), kept_(kept) {
    read_lines(source);
  }

  Graph parse() {
    assemble();
    Graph g = parse_text();
    check(g);
    return g;
  }

 private:
  struct Piece {
    std::string text;
    size_t line = 0, column = 0;  ///< where it stands in the source, counted from 1 and 0
  };
  struct Box {
    std::vector<Piece> pieces;
    std::vector<Piece> notes;
    int column = 0;
  };

  [[noreturn]] void fail(size_t line, const std::string& what, const std::string& hint = "") const {
    throw bad_input(file_ + ":" + std::to_string(line), what, hint);
  }

  void read_lines(std::string_view source) {
    size_t number = 0;
    bool begun = false;
    for (size_t at = 0; at < source.size();) {
      const size_t end = std::min(source.find('\n', at), source.size());
      std::string_view line = source.substr(at, end - at);
      at = end + 1;
      ++number;
      while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
      const size_t indent = line.find_first_not_of(" \t");
      if (indent == std::string_view::npos) continue;
      line.remove_prefix(indent);
      if (begun) {
        read_line(line, number, indent);
      } else if (line != kVersion) {
        fail(number, "a diagram's source begins with '" + std::string(kVersion) + "'",
             line.starts_with("diagram ") ? "it was written by another version of espalier" : "");
      }
      begun = true;
    }
    if (!begun || header_.text.empty()) fail(std::max<size_t>(number, 1), "is no diagram's source");
  }

  /// What is left of `line` behind `word`; false where it begins otherwise.
  static bool begins(std::string_view& line, size_t& column, std::string_view word) {
    if (!line.starts_with(word)) return false;
    line.remove_prefix(word.size());
    column += word.size();
    return true;
  }

  void read_line(std::string_view line, size_t number, size_t column) {
    const auto piece = [&] { return Piece{std::string(line), number, column}; };
    if (header_.text.empty()) {
      if (!line.starts_with("graph ")) fail(number, "expected the line that begins with 'graph'");
      header_ = piece();
    } else if (line.starts_with("meta ")) {
      metas_.push_back(piece());
    } else if (line.starts_with("state ")) {
      states_.push_back(piece());
    } else if (begins(line, column, "store ")) {
      stores_.push_back(piece());
    } else if (begins(line, column, "column ")) {
      if (integer(line, number) != ++column_)
        fail(number, "expected column " + std::to_string(column_));
    } else if (begins(line, column, "box ")) {
      read_box(line, number, column);
    } else if (begins(line, column, "|")) {
      last_box(number).pieces.push_back(piece());
    } else if (line.starts_with("axis ") || line.starts_with("mixed:") ||
               line.starts_with("repeat:")) {
      last_box(number).notes.push_back(piece());
    } else {
      fail(number, "expected meta, store, column, box, axis, mixed, repeat or state");
    }
  }

  int64_t integer(std::string_view digits, size_t number) const {
    if (digits.empty() || digits.size() > 9 ||
        digits.find_first_not_of("0123456789") != std::string_view::npos)
      fail(number, "'" + std::string(digits) + "' is no number of a column or box");
    return std::stoll(std::string(digits));
  }

  void read_box(std::string_view line, size_t number, size_t column) {
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) fail(number, "expected a box's number and a colon");
    const int64_t index = integer(line.substr(0, colon), number);
    if (column_ == 0) fail(number, "a box stands in a column");
    const auto [box, fresh] = boxes_.try_emplace(index);
    if (!fresh) fail(number, "there are two boxes " + std::to_string(index));
    last_ = index;
    line.remove_prefix(colon + 1);
    box->second.column = column_;
    box->second.pieces.push_back({std::string(line), number, column + colon + 1});
  }

  Box& last_box(size_t number) {
    if (boxes_.empty()) fail(number, "stands below no box");
    return boxes_.at(last_);
  }

  void assemble() {
    const auto add = [&](const Piece& p, const char* end = "") {
      text_ += p.text + end + "\n";
      places_.push_back(&p);
    };
    add(header_, " {");
    for (const Piece& p : metas_) add(p);
    for (const Piece& p : stores_) add(p);
    int64_t next = 0;
    for (const auto& [index, box] : boxes_) {
      if (index != next++)
        fail(box.pieces[0].line, "there is no box " + std::to_string(next - 1) + " before box " +
                                     std::to_string(index));
      for (const Piece& p : box.pieces) add(p);
    }
    for (const Piece& p : states_) add(p);
    text_ += "}\n";
  }

  Graph parse_text() {
    const ExternalConstants constants = [&](int64_t number, const TensorType& type) {
      if (type.dtype == DType::string)
        throw bad_input(file_, "leaves out the elements of a constant of strings");
      if (!kept_) return zeros(type);
      const auto found = kept_->find(number);
      if (found == kept_->end() ||
          !(TensorType(found->second.dtype(), found->second.shape()) == type))
        throw bad_input(file_, "has a constant " + to_string(type) + " marked " +
                                   std::to_string(number) + " that is not at hand");
      return found->second;
    };
    try {
      return parse_graph(text_, file_, constants);
    } catch (const UserError& e) {
      throw UserError(e.code(), in_source(e.where()), e.problem(), e.hint());
    }
  }

  /// "file:line:column" of the assembled text as it is in the source.
  std::string in_source(const std::string& where) const {
    if (!where.starts_with(file_ + ":")) return where;
    const std::string place = where.substr(file_.size() + 1);
    const size_t colon = place.find(':');
    if (colon == std::string::npos) return where;
    const size_t line = std::strtoull(place.c_str(), nullptr, 10);
    const size_t column = std::strtoull(place.c_str() + colon + 1, nullptr, 10);
    if (line == 0 || line > places_.size()) return file_;
    const Piece& p = *places_[line - 1];
    return file_ + ":" + std::to_string(p.line) + ":" + std::to_string(p.column + column);
  }

  void check(const Graph& g) const {
    if (g.order().size() != boxes_.size() || g.constants().size() != stores_.size())
      fail(header_.line, "holds statements that are neither boxes nor stores");
    const std::vector<int> columns = columns_of(g);
    size_t at = 0;
    for (const auto& [index, box] : boxes_) {
      const NodeId id = g.order()[at++];
      const size_t line = box.pieces[0].line;
      if (columns[size_t(id)] != box.column)
        fail(line, "stands in column " + std::to_string(box.column) + ", its operands put it in " +
                       std::to_string(columns[size_t(id)]));
      const std::vector<std::string> lines = lines_of(box_axes(g, id));
      for (size_t i = 0; i < std::max(lines.size(), box.notes.size()); ++i) {
        const std::string said = i < box.notes.size() ? box.notes[i].text : "";
        const std::string is = i < lines.size() ? lines[i] : "";
        if (said == is) continue;
        fail(said.empty() ? line : box.notes[i].line,
             describe(g, id) + ": the picture says '" + said + "' of its axes, its operands and " +
                 "attributes say '" + is + "'",
             "lines about axes follow from the box: draw the picture anew with inspect --diagram");
      }
    }
  }

  std::string file_;
  const Constants* kept_;
  Piece header_;
  std::vector<Piece> metas_, stores_, states_;
  std::map<int64_t, Box> boxes_;
  int64_t last_ = 0;
  int column_ = 0;
  std::string text_;
  std::vector<const Piece*> places_;  ///< of each line of text_
};

}  // namespace

Graph parse_diagram(std::string_view source, const std::string& file, const Constants* kept) {
  return Parser(source, file, kept).parse();
}

int64_t content_mark(const Tensor& tensor) {
  const auto* p = static_cast<const unsigned char*>(tensor.raw());
  uint64_t mark = tensor.bytes();
  const auto add = [&mark](uint64_t word) {
    mark = (mark ^ word) * 0x9E3779B97F4A7C15u;
    mark ^= mark >> 32;
  };
  size_t left = tensor.bytes();
  for (; left >= 8; left -= 8, p += 8) {
    uint64_t word = 0;
    std::memcpy(&word, p, 8);
    add(word);
  }
  uint64_t word = 0;
  if (left > 0) std::memcpy(&word, p, left);
  add(word);
  return int64_t(mark >> 1);
}

std::vector<int> columns_of(const Graph& graph) {
  std::vector<int> columns(graph.node_count(), 0);
  for (NodeId id : graph.order()) {
    int before = 0;
    for (ValueId v : graph.node(id).inputs)
      if (v != kNoValue && graph.value(v).producer != kNoNode)
        before = std::max(before, columns[size_t(graph.value(v).producer)]);
    columns[size_t(id)] = before + 1;
  }
  return columns;
}

std::string diagram_source(const Graph& graph, Constants* kept) {
  PrintOptions options;
  options.external = [kept](const Tensor& t) {
    const int64_t mark = content_mark(t);
    if (kept) kept->emplace(mark, t);
    return mark;
  };
  const Statements s = statements_of(print(graph, options));
  const size_t metas = graph.metadata.size(), stores = graph.constants().size();
  const size_t boxes = graph.order().size(), states = graph.states().size();
  if (s.all.size() != metas + stores + boxes + states)
    throw unsupported("graph '" + graph.name + "'", "has names that no text can hold");
  std::string out = std::string(kVersion) + "\n" + s.header + "\n";
  for (size_t i = 0; i < metas; ++i) out += s.all[i] + "\n";
  for (size_t i = 0; i < stores; ++i) out += "store " + s.all[metas + i] + "\n";
  const std::vector<int> columns = columns_of(graph);
  const auto column = [&](size_t box) { return columns[size_t(graph.order()[box])]; };
  std::vector<size_t> order(boxes);
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, {}, column);
  int last = 0;
  for (size_t box : order) {
    if (column(box) != last) out += "column " + std::to_string(last = column(box)) + "\n";
    out += "  box " + std::to_string(box) + ": " + continued(s.all[metas + stores + box]) + "\n";
    for (const std::string& line : lines_of(box_axes(graph, graph.order()[box])))
      out += "    " + line + "\n";
  }
  for (size_t i = 0; i < states; ++i) out += s.all[metas + stores + boxes + i] + "\n";
  return out;
}

}  // namespace espalier::diagram
