// Printing of the .esp text form.
#include <cinttypes>
#include <cmath>
#include <cstdio>

#include "base/error.h"
#include "ir/room.h"
#include "ir/text.h"
#include "ir/text_bytes.h"

namespace espalier {
namespace {

std::string quoted(const std::string& s) {
  std::string out = "\"";
  for (unsigned char c : s) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += char(c);
    } else if (c < 0x20) {
      char buffer[8];
      std::snprintf(buffer, sizeof buffer, "\\x%02x", c);
      out += buffer;
    } else {
      out += char(c);
    }
  }
  return out + "\"";
}

bool plain_name(const std::string& s) {
  for (unsigned char c : s)
    if (!isalnum(c) && c != '_' && c != '.' && c != '/' && c != ':' && c != '-') return false;
  return !s.empty();
}

std::string reference(const std::string& name) {
  return plain_name(name) ? "%" + name : "%" + quoted(name);
}

std::string number(double v, const char* format) {
  if (std::isnan(v)) return "nan";
  if (std::isinf(v)) return v > 0 ? "inf" : "-inf";
  char buffer[40];
  std::snprintf(buffer, sizeof buffer, format, v);
  return buffer;
}

// Floats carry a point or exponent, so that a reader can tell 1 from 1.0.
std::string real(float v) {
  std::string s = number(v, "%.9g");
  if (s.find_first_of(".enai") == std::string::npos) s += ".0";
  return s;
}

std::string literal(const Tensor& t, const PrintOptions& options) {
  std::string s(to_string(TensorType(t.dtype(), t.shape())));
  if (t.size() > options.max_literal && options.elide_large) return s + " ...";
  if (t.size() > options.max_literal && options.external && t.dtype() != DType::string)
    return s + " external " + std::to_string(options.external(t));
  const bool nan_bits = is_float(t.dtype());
  bool exact = t.size() <= options.max_literal && t.dtype() != DType::string;
  if (exact && nan_bits)
    for (int64_t i = 0; i < t.size(); ++i) exact = exact && !std::isnan(t.at(i));
  if (t.dtype() == DType::string) {
    s += " [";
    const auto strings = t.span<std::string>();
    for (size_t i = 0; i < strings.size(); ++i) s += (i ? ", " : "") + quoted(strings[i]);
    return s + "]";
  }
  if (!exact)
    return s + " b64\"" + to_base64({static_cast<const char*>(t.raw()), t.bytes()}) + "\"";
  s += " [";
  for (int64_t i = 0; i < t.size(); ++i) {
    if (i) s += ", ";
    if (is_float(t.dtype())) {
      s += number(t.at(i), t.dtype() == DType::f64 ? "%.17g" : "%.9g");
    } else {
      char buffer[24];
      if (t.dtype() == DType::u64)
        std::snprintf(buffer, sizeof buffer, "%" PRIu64, t.data<uint64_t>()[i]);
      else
        std::snprintf(buffer, sizeof buffer, "%" PRId64, t.int_at(i));
      s += buffer;
    }
  }
  return s + "]";
}

std::string print_indented(const Graph& g, const PrintOptions& options, const std::string& indent);

std::string attribute(const AttributeValue& v, const PrintOptions& options,
                      const std::string& indent) {
  const auto list = [](const auto& items, auto print_item) {
    std::string s = "[";
    for (size_t i = 0; i < items.size(); ++i) s += (i ? ", " : "") + print_item(items[i]);
    return s + "]";
  };
  return std::visit(
      [&](const auto& x) -> std::string {
        using T = std::decay_t<decltype(x)>;
        if constexpr (std::is_same_v<T, int64_t>)
          return std::to_string(x);
        else if constexpr (std::is_same_v<T, float>)
          return real(x);
        else if constexpr (std::is_same_v<T, std::string>)
          return quoted(x);
        else if constexpr (std::is_same_v<T, Tensor>)
          return "tensor " + literal(x, options);
        else if constexpr (std::is_same_v<T, std::vector<int64_t>>)
          return list(x, [](int64_t i) { return std::to_string(i); });
        else if constexpr (std::is_same_v<T, std::vector<float>>)
          return "f" + list(x, [](float f) { return real(f); });
        else if constexpr (std::is_same_v<T, std::vector<std::string>>)
          return "s" + list(x, quoted);
        else if constexpr (std::is_same_v<T, Type>)
          return "type " + to_string(x);
        else
          return print_indented(*x, options, indent + "  ");
      },
      v);
}

std::string node_line(const Graph& g, const Node& n, const PrintOptions& options,
                      const std::string& indent) {
  std::string s;
  for (size_t i = 0; i < n.outputs.size(); ++i) {
    if (i) s += ", ";
    const ValueId v = n.outputs[i];
    s += v == kNoValue ? "_" : reference(g.value(v).name) + ": " + to_string(g.value(v).type);
  }
  s += " = " + n.room->full_name() + "(";
  for (size_t i = 0; i < n.inputs.size(); ++i)
    s += (i ? ", " : "") +
         (n.inputs[i] == kNoValue ? std::string("_") : reference(g.value(n.inputs[i]).name));
  s += ")";
  const AttributeMap attributes = n.room->print(n.attrs, false);
  if (!attributes.empty()) {
    s += " {";
    bool first = true;
    for (const auto& [name, v] : attributes) {
      s += (first ? "" : ", ") + name + " = " + attribute(v, options, indent);
      first = false;
    }
    s += "}";
  }
  if (!n.name.empty()) s += " @" + quoted(n.name);
  return s;
}

std::string print_indented(const Graph& g, const PrintOptions& options, const std::string& indent) {
  std::string s = "graph " + quoted(g.name) + "(";
  for (size_t i = 0; i < g.inputs().size(); ++i) {
    const Value& v = g.value(g.inputs()[i]);
    s += (i ? ", " : "") + reference(v.name) + ": " + to_string(v.type);
  }
  s += ") -> (";
  for (size_t i = 0; i < g.outputs().size(); ++i)
    s += (i ? ", " : "") + reference(g.value(g.outputs()[i]).name);
  s += ") {\n";
  for (const auto& [key, text] : g.metadata)
    s += indent + "  meta " + quoted(key) + " = " + quoted(text) + "\n";
  for (ValueId id : g.constants()) {
    const Value& v = g.value(id);
    const char* word = v.role == Role::kParameter ? "parameter"
                       : v.role == Role::kBuffer  ? "buffer"
                                                  : "constant";
    s += indent + "  " + reference(v.name) + " = " + word + " " + literal(*v.constant, options) +
         "\n";
  }
  for (NodeId id : g.order()) s += indent + "  " + node_line(g, g.node(id), options, indent) + "\n";
  for (const StatePair& p : g.states())
    s += indent + "  state " + reference(g.value(p.input).name) + " <- " +
         reference(g.value(p.output).name) + "\n";
  return s + indent + "}";
}

}  // namespace

std::string print(const Graph& graph, const PrintOptions& options) {
  return print_indented(graph, options, "") + "\n";
}

}  // namespace espalier
