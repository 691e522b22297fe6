// Parsing of the .esp text form: recursive descent over characters.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "ir/builder.h"
#include "ir/registry.h"
#include "ir/text.h"
#include "ir/text_bytes.h"

namespace espalier {
namespace {

class Parser {
 public:
  Parser(std::string_view text, std::string file, ExternalConstants external)
      : text_(text), file_(std::move(file)), external_(std::move(external)) {}

  Graph whole() {
    Graph g = graph();
    skip_space();
    if (at_ < text_.size()) fail("text after the end of the graph");
    return g;
  }

 private:
  static constexpr int kMaxDepth = 64;

  /// Counted from 1.
  size_t line_of(size_t position) const {
    const auto end = text_.begin() + std::ptrdiff_t(std::min(position, text_.size()));
    return 1 + size_t(std::count(text_.begin(), end, '\n'));
  }
  [[noreturn]] void fail(const std::string& what, const std::string& hint = "") const {
    const size_t line = line_of(at_);
    const size_t begin = at_ == 0 ? std::string_view::npos : text_.rfind('\n', at_ - 1);
    const size_t column = at_ - (begin == std::string_view::npos ? 0 : begin + 1) + 1;
    throw bad_input(file_ + ":" + std::to_string(line) + ":" + std::to_string(column), what, hint);
  }

  void skip_space() {
    while (at_ < text_.size()) {
      if (isspace(static_cast<unsigned char>(text_[at_]))) {
        ++at_;
      } else if (text_.substr(at_, 2) == "//") {
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
      } else {
        return;
      }
    }
  }
  bool peek(std::string_view token) {
    skip_space();
    return text_.substr(at_, token.size()) == token;
  }
  bool accept(std::string_view token) {
    if (!peek(token)) return false;
    at_ += token.size();
    return true;
  }
  void expect(std::string_view token) {
    if (!accept(token)) fail("expected '" + std::string(token) + "'");
  }
  static bool word_char(char c) {
    return isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.';
  }
  std::string word() {
    skip_space();
    const size_t start = at_;
    while (at_ < text_.size() && word_char(text_[at_])) ++at_;
    if (at_ == start) fail("expected a word");
    return std::string(text_.substr(start, at_ - start));
  }
  bool accept_word(std::string_view w) {
    if (!peek(w)) return false;
    const size_t end = at_ + w.size();
    if (end < text_.size() && word_char(text_[end])) return false;
    at_ = end;
    return true;
  }
  std::string string() {
    expect("\"");
    std::string s;
    while (at_ < text_.size() && text_[at_] != '"') {
      if (text_[at_] != '\\') {
        s += text_[at_++];
        continue;
      }
      if (++at_ >= text_.size()) break;
      if (text_[at_] == 'x' && at_ + 2 < text_.size()) {
        unsigned code = 0;
        const char* digits = text_.data() + at_ + 1;
        const auto [end, status] = std::from_chars(digits, digits + 2, code, 16);
        if (status != std::errc{} || end != digits + 2) fail("malformed escape");
        s += char(code);
        at_ += 3;
      } else {
        s += text_[at_++];
      }
    }
    if (at_ >= text_.size()) fail("the string is not closed");
    ++at_;
    return s;
  }
  std::string reference() {
    expect("%");
    if (at_ < text_.size() && text_[at_] == '"') return string();
    const size_t start = at_;
    while (at_ < text_.size() && (word_char(text_[at_]) || strchr("/:-", text_[at_]))) {
      // A colon ends the name when a type follows it.
      if (text_[at_] == ':' &&
          (at_ + 1 >= text_.size() || isspace(static_cast<unsigned char>(text_[at_ + 1]))))
        break;
      ++at_;
    }
    if (at_ == start) fail("expected a name after %");
    return std::string(text_.substr(start, at_ - start));
  }
  Type type() {
    skip_space();
    const size_t start = at_;
    int depth = 0;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '(' || c == '[') ++depth;
      if (c == ')' || c == ']') {
        if (depth == 0) break;
        ++at_;
        if (--depth == 0) break;
        continue;
      }
      if (depth == 0 && (isspace(static_cast<unsigned char>(c)) || c == ',')) break;
      ++at_;
    }
    try {
      return parse_type(text_.substr(start, at_ - start));
    } catch (const UserError& e) {
      at_ = start;
      fail(e.problem(), e.hint());
    }
  }
  /// The characters of a number.
  std::string_view numeral() {
    skip_space();
    const size_t start = at_;
    if (at_ < text_.size() && strchr("+-", text_[at_])) ++at_;
    while (at_ < text_.size() &&
           (word_char(text_[at_]) || (strchr("+-", text_[at_]) && strchr("eE", text_[at_ - 1]))))
      ++at_;
    if (at_ == start) fail("expected a number");
    return text_.substr(start, at_ - start);
  }
  static bool integral(std::string_view s) {
    return s.find_first_not_of("+-0123456789") == std::string_view::npos;
  }
  int64_t integer(std::string_view s) {
    int64_t v = 0;
    const auto [end, status] = std::from_chars(s.data(), s.data() + s.size(), v);
    if (status != std::errc{} || end != s.data() + s.size())
      fail("'" + std::string(s) + "' is no integer");
    return v;
  }
  double real(std::string_view s) {
    const std::string copy(s);
    char* end = nullptr;
    const double v = std::strtod(copy.c_str(), &end);
    if (end != copy.c_str() + copy.size()) fail("'" + copy + "' is no number");
    return v;
  }
  float real32(std::string_view s) {
    const std::string copy(s);
    char* end = nullptr;
    const float v = std::strtof(copy.c_str(), &end);
    if (end != copy.c_str() + copy.size()) fail("'" + copy + "' is no number");
    return v;
  }

  Tensor literal() {
    const Type t = type();
    if (!t.is_tensor() || !t.tensor().is_static()) fail("a constant needs a fixed shape");
    const Shape shape = t.tensor().shape();
    const DType dtype = t.tensor().dtype;
    if (accept("...")) fail("the constant's elements were left out when this was printed");
    if (accept_word("external")) {
      const int64_t number = integer(numeral());
      if (!external_) fail("the constant's elements are kept in another file");
      return external_(number, t.tensor());
    }
    if (accept("b64")) {
      const auto bytes = from_base64(string());
      const int64_t count = numel(shape);
      if (!bytes || dtype == DType::string || bytes->size() / size_of(dtype) != size_t(count) ||
          bytes->size() % size_of(dtype) != 0)
        fail("the constant's bytes do not fill " + to_string(t));
      Tensor tensor(dtype, shape);
      if (!bytes->empty()) std::memcpy(tensor.mutable_raw(), bytes->data(), bytes->size());
      return tensor;
    }
    expect("[");
    std::vector<std::string> items;
    while (!accept("]")) {
      items.push_back(dtype == DType::string ? string() : std::string(numeral()));
      if (!peek("]")) expect(",");
    }
    if (int64_t(items.size()) != numel(shape))
      fail(std::to_string(items.size()) + " elements given for " + to_string(t));
    Tensor tensor(dtype, shape);
    if (dtype == DType::string) {
      std::copy(items.begin(), items.end(), tensor.mutable_data<std::string>());
      return tensor;
    }
    visit_numeric(dtype, [&](auto tag) {
      using T = decltype(tag);
      T* p = tensor.mutable_data<T>();
      for (size_t i = 0; i < items.size(); ++i) {
        if constexpr (std::is_same_v<T, float>)
          p[i] = real32(items[i]);
        else if constexpr (std::is_same_v<T, uint64_t>)
          p[i] = std::strtoull(items[i].c_str(), nullptr, 10);
        else if constexpr (std::is_integral_v<T>)
          p[i] = T(integer(items[i]));
        else
          p[i] = convert_element<T>(real(items[i]));
      }
    });
    return tensor;
  }

  AttributeValue attribute() {
    if (peek("\"")) return string();
    if (accept_word("tensor")) return literal();
    if (accept_word("type")) return type();
    if (peek("graph ")) return std::make_shared<const Graph>(graph());
    if (accept("f[")) return list<float>([&] { return real32(numeral()); });
    if (accept("s[")) return list<std::string>([&] { return string(); });
    if (accept("[")) return list<int64_t>([&] { return integer(numeral()); });
    const std::string_view s = numeral();
    if (integral(s)) return integer(s);
    return real32(s);
  }
  template <class T, class F>
  std::vector<T> list(F item) {
    std::vector<T> items;
    while (!accept("]")) {
      items.push_back(item());
      if (!peek("]")) expect(",");
    }
    return items;
  }

  ValueId known(const Graph& g, const std::string& name) {
    const ValueId v = g.find(name);
    if (v != kNoValue) return v;
    if (const size_t line = defined_later(name))
      fail("%" + name + " is defined only on line " + std::to_string(line),
           "the graph has a cycle, or its lines are out of order");
    fail("%" + name + " is not defined before this line");
  }
  /// The line after this place that defines a value of that name; 0 when there is none.
  size_t defined_later(const std::string& name) {
    const size_t here = at_;
    size_t line = 0;
    for (size_t end = text_.find('\n', here); end != std::string_view::npos && line == 0;
         end = text_.find('\n', end + 1)) {
      at_ = end + 1;
      if (defines(name)) line = line_of(end + 1);
    }
    at_ = here;
    return line;
  }
  /// Whether a statement stands here that has %name among its results.
  bool defines(const std::string& name) {
    bool found = false;
    try {
      do {
        skip_space();
        if (at_ >= text_.size() || text_[at_] != '%') return false;
        found = reference() == name || found;
        if (accept(":")) type();
      } while (accept(","));
      return found && accept("=");
    } catch (const UserError&) {
      return false;
    }
  }
  void check_fresh(const Graph& g, const std::string& name) {
    if (g.find(name) != kNoValue) fail("%" + name + " is defined twice");
  }

  void constant(Graph& g, const std::string& name, Role role) {
    check_fresh(g, name);
    g.add_constant(name, literal(), role);
  }

  void node(Graph& g, std::vector<std::string> names, std::vector<std::optional<Type>> types) {
    const size_t start = at_;
    const std::string full = word();
    const size_t dot = full.rfind('.');
    const Room* room = dot == std::string::npos
                           ? find_room(full)
                           : find_room(full.substr(dot + 1), full.substr(0, dot));
    if (!room) {
      at_ = start;
      fail("no operator is named " + full);
    }
    expect("(");
    Values inputs;
    while (!accept(")")) {
      if (accept_word("_"))
        inputs.push_back(kNoValue);
      else
        inputs.push_back(known(g, reference()));
      if (!peek(")")) expect(",");
    }
    AttributeMap attributes;
    if (accept("{")) {
      while (!accept("}")) {
        const std::string key = word();
        expect("=");
        attributes[key] = attribute();
        if (!peek("}")) expect(",");
      }
    }
    std::string label;
    if (accept("@")) label = string();
    for (const auto& name : names)
      if (!name.empty()) check_fresh(g, name);
    const std::string first = names.empty() ? full : names[0];
    try {
      Attributes typed = room->parse(attributes, full + " '" + first + "'");
      Types inferred = infer_types(g, *room, typed, inputs, full + " '" + first + "'");
      if (names.size() > inferred.size())
        fail(full + " has " + std::to_string(inferred.size()) + " results");
      inferred.resize(names.size());
      for (size_t i = 0; i < types.size(); ++i) {
        if (!types[i]) continue;
        if (!refines(*types[i], inferred[i]) && !refines(inferred[i], *types[i]))
          fail("%" + names[i] + " is written as " + to_string(*types[i]) + ", inference gives " +
               to_string(inferred[i]));
        inferred[i] = *types[i];
      }
      g.add_node(*room, std::move(typed), std::move(inputs), std::move(inferred), label, names);
    } catch (const UserError& e) {
      if (e.where().starts_with(file_ + ":")) throw;
      at_ = start;
      fail(std::string(e.what()), e.hint());
    }
  }

  void statement(Graph& g) {
    if (accept_word("meta")) {
      const std::string key = string();
      expect("=");
      g.metadata[key] = string();
      return;
    }
    if (accept_word("state")) {
      const ValueId input = known(g, reference());
      expect("<-");
      g.add_state(input, known(g, reference()));
      return;
    }
    std::vector<std::string> names;
    std::vector<std::optional<Type>> types;
    while (true) {
      if (accept_word("_")) {
        names.push_back("");
        types.push_back(std::nullopt);
      } else {
        names.push_back(reference());
        if (accept(":"))
          types.push_back(type());
        else
          types.push_back(std::nullopt);
      }
      if (!accept(",")) break;
    }
    expect("=");
    if (names.size() == 1) {
      if (accept_word("constant")) return constant(g, names[0], Role::kNone);
      if (accept_word("parameter")) return constant(g, names[0], Role::kParameter);
      if (accept_word("buffer")) return constant(g, names[0], Role::kBuffer);
    }
    node(g, std::move(names), std::move(types));
  }

  Graph graph() {
    if (++depth_ > kMaxDepth) fail("graphs are nested too deeply");
    Graph g;
    if (!accept_word("graph")) fail("expected 'graph'");
    g.name = string();
    expect("(");
    while (!accept(")")) {
      const std::string name = reference();
      check_fresh(g, name);
      expect(":");
      g.add_input(name, type());
      if (!peek(")")) expect(",");
    }
    expect("->");
    expect("(");
    std::vector<std::string> outputs;
    while (!accept(")")) {
      outputs.push_back(reference());
      if (!peek(")")) expect(",");
    }
    expect("{");
    while (!accept("}")) statement(g);
    for (const auto& name : outputs) g.add_output(known(g, name));
    --depth_;
    return g;
  }

  std::string_view text_;
  std::string file_;
  ExternalConstants external_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

Graph parse_graph(std::string_view text, const std::string& file, ExternalConstants external) {
  return Parser(text, file, std::move(external)).whole();
}

}  // namespace espalier
