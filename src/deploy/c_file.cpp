#include "deploy/c_file.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "deploy/c_function.h"
#include "deploy/c_parts.h"
#include "ir/derive.h"

namespace espalier {
namespace {

/// Of states in the arena: an f64 or i64.
constexpr size_t kAlignment = 8;
/// Shorter than any line worth reading.
constexpr size_t kColumns = 98;

std::string table_text(const std::string& name, const Tensor& values) {
  const int64_t count = std::max<int64_t>(1, values.size());
  std::string text =
      "static const " + c_type(values.dtype()) + " " + name + "[" + std::to_string(count) + "] = {";
  if (values.size() == 0) return text + "0};\n";
  std::string line = "\n    ";
  for (int64_t i = 0; i < values.size(); ++i) {
    const std::string literal = c_literal(values, i) + (i + 1 < values.size() ? ", " : "");
    if (line.size() + literal.size() > kColumns) {
      line.pop_back();
      text += line;
      line = "\n    ";
    }
    line += literal;
  }
  return text + line + "};\n";
}

std::string parameters(const CNetwork& n) {
  std::string text;
  for (const CArgument& a : n.inputs)
    text += (text.empty() ? "const " : ", const ") + c_type(a.type.dtype) + "* " + a.identifier;
  for (const CArgument& a : n.outputs)
    text += (text.empty() ? "" : ", ") + c_type(a.type.dtype) + "* " + a.identifier;
  return text;
}

UserError not_a_tensor(const std::string& what, const Type& type) {
  if (type.is_static())
    return unsupported(what, "is " + to_string(type) + ", for which C has no type");
  return unsupported(what, "has the type " + to_string(type) + ", C code needs fixed sizes",
                     "fix open dimensions with --shape or --batch");
}

}  // namespace

CFile::CFile(const std::string& stem) : file_stem_(stem), stem_(c_identifier(stem)) {
  names_.fresh("", init_function());
  names_.fresh("", arena_function());
}

void CFile::need(const std::string& part) {
  if (std::ranges::find(parts_, part) == parts_.end()) parts_.push_back(part);
}

std::string CFile::table(const Tensor& values, const std::string& name) {
  const auto key = std::pair(values.dtype(), fingerprint(values.raw(), values.bytes()));
  std::string& known = table_names_[key];
  if (known.empty()) {
    known = names_.fresh("w_", name);
    tables_.emplace_back(known, values);
  }
  return known;
}

CFunction CFile::function(const Graph& body) {
  const Graph graph = prepared_for_c(body);
  const std::string name = names_.fresh(stem_ + "_body_", body.name);
  CFunctionText made = c_function(*this, graph, name);
  functions_.push_back(std::move(made.text));
  return {name, made.arena_bytes};
}

const CState* CFile::state(const std::string& name) const {
  const auto found = std::ranges::find(states_, name, &CState::name);
  return found == states_.end() ? nullptr : &*found;
}

void CFile::keep(const std::string& name, const Tensor& first) {
  ESP_CHECK(networks_.empty() && !state(name), "states come before networks, each once");
  const TensorType type(first.dtype(), first.shape());
  if (!has_c_type(type.dtype)) throw not_a_tensor("state '" + name + "'", type);
  const size_t at = state_bytes_;
  states_.push_back({name, names_.fresh("", name), type, at});
  state_bytes_ = at + (first.bytes() + kAlignment - 1) / kAlignment * kAlignment;
  const std::string to = "arena.bytes + " + std::to_string(at),
                    bytes = std::to_string(first.bytes());
  const auto* raw = static_cast<const unsigned char*>(first.raw());
  if (std::all_of(raw, raw + first.bytes(), [](unsigned char byte) { return byte == 0; }))
    first_values_ += "  memset(" + to + ", 0, " + bytes + ");\n";
  else
    first_values_ += "  memcpy(" + to + ", " + table(first, name) + ", " + bytes + ");\n";
}

const CNetwork& CFile::add(const Graph& graph, const std::string& name) {
  const size_t parts = parts_.size(), tables = tables_.size(), functions = functions_.size();
  try {
    return append(graph, name);
  } catch (...) {
    parts_.resize(parts);
    functions_.resize(functions);
    drop_tables(tables, [](const std::string&) { return true; });
    throw;
  }
}

void CFile::drop_tables(size_t first, const std::function<bool(const std::string&)>& unwanted) {
  std::set<std::string> dropped;
  for (size_t i = first; i < tables_.size(); ++i)
    if (unwanted(tables_[i].first)) dropped.insert(tables_[i].first);
  std::erase_if(tables_, [&](const auto& table) { return dropped.contains(table.first); });
  std::erase_if(table_names_, [&](const auto& entry) { return dropped.contains(entry.second); });
}

const CNetwork& CFile::append(const Graph& graph, const std::string& name) {
  for (const StatePair& s : graph.states())
    if (!state(graph.value(s.input).name))
      throw unsupported(
          graph.name,
          "carries the state '" + graph.value(s.input).name + "', whose first values are not known",
          "export --train writes training steps");
  CNetwork network{names_.fresh("", name), {}, {}, 0, 0};
  CNames taken;
  taken.fresh("", "arena");
  const auto argument = [&](ValueId v, const char* what) {
    const Value& value = graph.value(v);
    if (!value.type.is_static() || !has_c_type(value.tensor().dtype))
      throw not_a_tensor(std::string(what) + " '" + value.name + "'", value.type);
    return CArgument{value.name, taken.fresh("", value.name), value.tensor()};
  };
  std::string given;
  for (ValueId v : graph.inputs()) {
    if (const CState* kept = state(graph.value(v).name)) {
      const TensorType& type = graph.value(v).tensor();
      ESP_CHECK(type == kept->type, "the state '" + kept->name + "' has another type");
      given +=
          ", (" + c_type(type.dtype) + "*)(arena.bytes + " + std::to_string(kept->offset) + ")";
      continue;
    }
    network.inputs.push_back(argument(v, "input"));
    given += ", " + network.inputs.back().identifier;
  }
  const size_t tables = tables_.size(), functions = functions_.size();
  const Graph prepared = prepared_for_c(graph);
  const std::string inner = names_.fresh(network.name + "_", "graph");
  CFunctionText made = c_function(*this, prepared, inner);  // names the node of an open result
  functions_.push_back(std::move(made.text));
  for (ValueId v : graph.outputs()) network.outputs.push_back(argument(v, "output"));
  // Lists that operators only ask for their values are in no function.
  drop_tables(tables, [&](const std::string& table) {
    return std::none_of(functions_.begin() + std::ptrdiff_t(functions), functions_.end(),
                        [&](const std::string& text) { return mentions(text, table); });
  });
  network.arena_bytes = made.arena_bytes;
  network.macs = cost_of(graph).macs;
  std::string scratch = "0";
  if (made.arena_bytes > 0)
    scratch = "arena.bytes" + (state_bytes_ > 0 ? " + " + std::to_string(state_bytes_) : "");
  public_functions_ += "int " + network.name + "(" + parameters(network) + ") {\n  return " +
                       inner + "(" + scratch + given;
  for (const CArgument& a : network.outputs) public_functions_ += ", " + a.identifier;
  public_functions_ += ");\n}\n";
  networks_.push_back(std::move(network));
  return networks_.back();
}

size_t CFile::arena_bytes() const {
  size_t most = 0;
  for (const CNetwork& n : networks_) most = std::max(most, n.arena_bytes);
  return state_bytes_ + most;
}

size_t CFile::weight_bytes() const {
  size_t sum = 0;
  for (const auto& [name, values] : tables_) sum += values.bytes();
  return sum;
}

std::string CFile::source() const {
  std::vector<std::string> standard = {"#include <math.h>", "#include <stdint.h>",
                                       "#include <string.h>"};
  const std::string parts = bundled_parts(parts_, standard);
  std::ranges::sort(standard);
  std::string text = "/* Written by espalier export. C99; link with -lm. */\n#include \"" +
                     file_stem_ + ".h\"\n\n";
  for (const std::string& line : standard) text += line + "\n";
  text += "\n" + parts + "\n";
  for (const auto& [name, values] : tables_) text += table_text(name, values);
  if (arena_bytes() > 0)
    text +=
        "\n/* Activations, aligned for every type. */\nstatic union {\n  double number;\n"
        "  int64_t integer;\n  unsigned char bytes[" +
        std::to_string(arena_bytes()) + "];\n} arena;\n";
  for (const std::string& function : functions_) text += "\n" + function;
  if (!states_.empty())
    text += "\nvoid " + init_function() + "(void) {\n" + first_values_ + "}\nunsigned char* " +
            arena_function() + "(void) { return arena.bytes; }\n";
  return text + "\n" + public_functions_;
}

std::string CFile::state_header() const {
  if (states_.empty()) return "";
  const std::string upper = upper_case(stem_);
  std::string text =
      "\n/* What lasts from call to call: its bytes, and where in the arena each begins. */\n"
      "#define " +
      upper + "_STATE_BYTES " + std::to_string(state_bytes_) + "\n";
  for (const CState& s : states_)
    text += "/* " + c_comment(s.name) + ": " + c_comment(to_string(s.type)) + " */\n#define " +
            upper_case(stem_ + "_" + s.identifier) + "_AT " + std::to_string(s.offset) + "\n";
  return text +
         "/* Sets it to its first values. To be called before anything else, unless a copy of the\n"
         "   first " +
         upper + "_STATE_BYTES bytes of the arena is put back there. */\nvoid " + init_function() +
         "(void);\n/* The arena. */\nunsigned char* " + arena_function() + "(void);\n";
}

std::string CFile::header() const {
  const std::string upper = upper_case(stem_);
  std::string text =
      "/* Written by espalier export. */\n#ifndef ESPALIER_" + upper + "_H\n#define ESPALIER_" +
      upper +
      "_H\n\n#include <stdint.h>\n\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n"
      "/* Bytes of the static arena (activations, and what lasts from call to call) and of\n"
      "   constants. */\n#define " +
      upper + "_ARENA_BYTES " + std::to_string(arena_bytes()) + "\n#define " + upper +
      "_WEIGHT_BYTES " + std::to_string(weight_bytes()) + "\n" + state_header();
  for (const CNetwork& n : networks_) {
    text += "\n";
    for (const auto* list : {&n.inputs, &n.outputs})
      for (const CArgument& a : *list)
        text += "/* " + c_comment(a.name) + ": " + c_comment(to_string(a.type)) + " */\n#define " +
                upper_case(n.name + "_" + a.identifier) + "_SIZE " +
                std::to_string(a.type.numel()) + "\n";
    text +=
        "/* 0, or 1 where data asks for what is not there (an index outside its axis). Not to be\n"
        "   called by two threads at once. */\nint " +
        n.name + "(" + parameters(n) + ");\n";
  }
  return text + "\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n";
}

}  // namespace espalier
