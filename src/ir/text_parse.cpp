// Parsing of the .esp text form: recursive descent over characters.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "ir/builder.h"
#include "ir/registry.h"
#include "ir/text.h"
#include "ir/text_bytes.h"
#include "ir/text_lexer.h"

namespace espalier {
namespace {

bool integral(std::string_view digits) {
  return digits.find_first_not_of("+-0123456789") == std::string_view::npos;
}

class Parser : TextLexer {
 public:
  Parser(std::string_view text, std::string file, ExternalConstants external)
      : TextLexer(text, std::move(file)), external_(std::move(external)) {}

  Graph whole() {
    Graph g = graph();
    if (!at_end()) fail("text after the end of the graph");
    return g;
  }

 private:
  static constexpr int kMaxDepth = 64;

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
    const size_t here = position();
    size_t found = 0;
    while (found == 0 && next_line())
      if (const size_t start = line(); defines(name)) found = start;
    go_to(here);
    return found;
  }
  /// Whether a statement stands here that has %name among its results.
  bool defines(const std::string& name) {
    bool found = false;
    try {
      do {
        if (!peek("%")) return false;
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
    const size_t start = position();
    const std::string full = word();
    const size_t dot = full.rfind('.');
    const Room* room = dot == std::string::npos
                           ? find_room(full)
                           : find_room(full.substr(dot + 1), full.substr(0, dot));
    if (!room) {
      go_to(start);
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
      if (e.where().starts_with(file() + ":")) throw;
      go_to(start);
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
        if (std::ranges::count(names, names.back()) > 1)
          fail("%" + names.back() + " is defined twice");
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

  ExternalConstants external_;
  int depth_ = 0;
};

}  // namespace

Graph parse_graph(std::string_view text, const std::string& file, ExternalConstants external) {
  return Parser(text, file, std::move(external)).whole();
}

}  // namespace espalier
