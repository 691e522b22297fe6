// Blocks made of blocks, names and variables. Leaves are in leaf_blocks.cpp.
#include "recipe/blocks.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "recipe/initialise.h"

namespace espalier {
namespace {

constexpr size_t kMaxRounds = 10000;

/// Keys under which blocks stand; their variables are replaced when they are built.
bool holds_blocks(const std::string& key) {
  return key == "body" || key == "main" || key == "shortcut" || key == "branches" || key == "f" ||
         key == "g";
}

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

std::string replace_variables(const Yaml& place, const Variables& variables) {
  const std::string& text = place.text();
  std::string result;
  for (size_t i = 0; i < text.size();) {
    if (text[i] != '$') {
      result += text[i++];
      continue;
    }
    const bool braced = i + 1 < text.size() && text[i + 1] == '{';
    size_t begin = i + (braced ? 2 : 1), end = begin;
    while (end < text.size() && is_word(text[end])) ++end;
    const std::string name = text.substr(begin, end - begin);
    const auto it = variables.find(name);
    if (it == variables.end()) {
      std::vector<std::string> known;
      for (const auto& [k, v] : variables) known.push_back(k);
      place.fail("there is no variable '" + name + "' here", suggestion(name, known));
    }
    if (braced && (end >= text.size() || text[end] != '}')) place.fail("'${' is never closed");
    result += it->second;
    i = end + (braced ? 1 : 0);
  }
  return result;
}

/// How often something is repeated.
size_t rounds_of(const Yaml& times, const Variables& variables) {
  const auto rounds = size_t(BlockBuilder::substituted(times, variables).integer());
  if (rounds < 1 || rounds > kMaxRounds)
    times.fail("times must be between 1 and " + std::to_string(kMaxRounds));
  return rounds;
}

std::string joined(const std::string& prefix, const std::string& name) {
  return prefix.empty() ? name : prefix + "." + name;
}

}  // namespace

BlockBuilder::Scope BlockBuilder::Scope::inside(const std::string& name) const {
  return {name.empty() ? prefix : joined(prefix, name), variables};
}

Yaml BlockBuilder::substituted(const Yaml& value, const Variables& variables) {
  if (value.is_scalar()) {
    if (value.text().find('$') == std::string::npos) return value;
    return Yaml::scalar(replace_variables(value, variables), value);
  }
  Yaml copy = value;
  if (value.is_list())
    for (Yaml& item : copy.items()) item = substituted(item, variables);
  if (value.is_map())
    for (auto& [key, entry] : copy.entries())
      if (!holds_blocks(key.text())) entry = substituted(entry, variables);
  return copy;
}

std::string BlockBuilder::claim_name(Fields& fields, const Scope& scope) {
  const Yaml* given = fields.find("name");
  if (given) {
    std::string name = joined(scope.prefix, given->text());
    if (!names_.insert(name).second)
      given->fail("two blocks are named '" + name + "'", "names inside a repeat need its own name");
    return name;
  }
  for (int number = 1;; ++number) {
    std::string name = joined(scope.prefix, fields.what() + std::to_string(number));
    if (names_.insert(name).second) return name;
  }
}

ValueId BlockBuilder::drawn(const std::string& name, Tensor first, double deviation) {
  if (deviations_) (*deviations_)[name] = deviation;
  return builder_.graph().add_constant(name, std::move(first), Role::kParameter);
}

ValueId BlockBuilder::he_weight(const std::string& name, const Shape& shape, double fan_out) {
  return drawn(name, he_normal(shape, fan_out, seed_, name), std::sqrt(2 / fan_out));
}

ValueId BlockBuilder::normal_parameter(const std::string& name, const Shape& shape,
                                       double deviation) {
  return drawn(name, normal(shape, deviation, seed_, name), deviation);
}

ValueId BlockBuilder::uniform_parameter(const std::string& name, const Shape& shape, double bound) {
  return drawn(name, uniform_within(shape, bound, seed_, name), bound / std::sqrt(3.0));
}

ValueId BlockBuilder::constant_parameter(const std::string& name, const Shape& shape, float value) {
  return builder_.graph().add_constant(name, filled(shape, value), Role::kParameter);
}

ValueId BlockBuilder::buffer(const std::string& name, const Shape& shape, float value) {
  return builder_.graph().add_constant(name, filled(shape, value), Role::kBuffer);
}

ValueId BlockBuilder::body(const Yaml& blocks, ValueId x, const Scope& scope) {
  for (const Yaml& entry : blocks.items()) x = block(entry, x, scope);
  return x;
}

ValueId BlockBuilder::block(const Yaml& entry, ValueId x, const Scope& scope) {
  Yaml nothing;
  const Yaml* type = &entry;
  const Yaml* settings = &nothing;
  if (entry.is_map()) {
    if (entry.entries().size() != 1)
      entry.fail("a block is one type with its settings", "write '- conv: {out: 16, kernel: 3}'");
    type = &entry.entries()[0].first;
    settings = &entry.entries()[0].second;
  } else if (!entry.is_scalar()) {
    entry.fail("a block is needed here", "write '- relu' or '- conv: {out: 16, kernel: 3}'");
  }
  // What is repeated binds variables that its own name may read.
  const bool late = type->text() == "repeat" || type->text() == "reversible";
  Yaml resolved = late ? *settings : substituted(*settings, scope.variables);
  if (resolved.is_null()) resolved = Yaml::empty_map(*type);
  Fields fields(resolved, type->text());
  const std::string& kind = type->text();
  ValueId result = kNoValue;
  if (kind == "residual") {
    result = residual(fields, x, scope);
  } else if (kind == "sequence") {
    result = sequence(fields, x, scope);
  } else if (kind == "repeat") {
    result = repeat(fields, x, scope);
  } else if (kind == "concat") {
    result = concat(fields, x, scope);
  } else if (kind == "reversible") {
    result = reversible(fields, x, scope);
  } else if (const LeafBlock leaf = find_leaf_block(kind)) {
    const std::string name = claim_name(fields, scope);
    try {
      result = leaf(*this, fields, x, name);
    } catch (const UserError& e) {
      if (e.where().starts_with(entry.file())) throw;
      throw e.within(type->where());
    }
    Graph& g = builder_.graph();
    if (g.find(name) == kNoValue) g.rename(result, name);
  } else {
    std::vector<std::string> types = leaf_block_types();
    types.insert(types.end(), {"residual", "sequence", "repeat", "concat", "reversible"});
    type->fail("there is no block '" + kind + "'", suggestion(kind, types));
  }
  fields.done();
  return result;
}

ValueId BlockBuilder::residual(Fields& fields, ValueId x, const Scope& scope) {
  const Scope inside = scope.inside(fields.string("name", ""));
  const ValueId main = body(fields.require("main"), x, inside);
  const TensorType from = builder_.type(x), to = builder_.type(main);
  const bool fits = from == to;
  const Yaml* shortcut = fields.find("shortcut");
  if (shortcut && shortcut->is_list()) {
    const ValueId side = fits ? x : body(*shortcut, x, inside);
    if (builder_.type(side) != to)
      shortcut->fail("the shortcut gives " + to_string(builder_.type(side)) + ", main gives " +
                     to_string(to));
    return builder_.add(main, side);
  }
  const std::string how = shortcut ? shortcut->text() : "identity";
  if (how == "where_possible") return fits ? builder_.add(x, main) : main;
  if (how != "identity")
    shortcut->fail("shortcut cannot be '" + how + "'",
                   "it is a list of blocks, identity, or where_possible");
  if (!fits)
    fields.map().fail(
        "main turns " + to_string(from) + " into " + to_string(to) + ", which cannot be added",
        "give a shortcut: a list of blocks, or where_possible");
  return builder_.add(main, x);
}

ValueId BlockBuilder::sequence(Fields& fields, ValueId x, const Scope& scope) {
  const Scope inside = scope.inside(fields.string("name", ""));
  return body(fields.require("body"), x, inside);
}

ValueId BlockBuilder::repeat(Fields& fields, ValueId x, const Scope& scope) {
  size_t rounds = 0;
  const Yaml* given = fields.find("for");
  const Yaml* times = fields.find("times");
  if (!given == !times) fields.map().fail("repeat takes either 'for' or 'times'");
  const Yaml lists = substituted(given ? *given : Yaml::empty_map(*times), scope.variables);
  if (times) {
    rounds = rounds_of(*times, scope.variables);
  } else {
    for (const auto& [name, list] : lists.entries()) {
      const size_t n = list.items().size();
      if (rounds != 0 && n != rounds)
        list.fail("'" + name.text() + "' has " + std::to_string(n) + " values, the list before " +
                  std::to_string(rounds));
      if (n == 0) list.fail("'" + name.text() + "' is empty");
      rounds = n;
    }
    if (rounds == 0) given->fail("'for' names no lists");
  }
  // The name is given anew in every round, so it may read the round's variables.
  const Yaml* name = fields.find("name");
  const Yaml& blocks = fields.require("body");
  for (size_t i = 0; i < rounds; ++i) {
    Scope round = scope;
    round.variables["index"] = std::to_string(i);
    for (const auto& [variable, list] : lists.entries())
      round.variables[variable.text()] = list.items()[i].text();
    x = body(blocks, x, round.inside(name ? replace_variables(*name, round.variables) : ""));
  }
  return x;
}

ValueId BlockBuilder::concat(Fields& fields, ValueId x, const Scope& scope) {
  const Scope inside = scope.inside(fields.string("name", ""));
  const Yaml& branches = fields.require("branches");
  Values results;
  for (const Yaml& branch : branches.items()) results.push_back(body(branch, x, inside));
  if (results.empty()) branches.fail("concat needs at least one branch");
  try {
    return builder_.one("Concat", results, {{"axis", fields.integer("axis", 1, 0, 8)}});
  } catch (const UserError& e) {
    throw e.within(fields.map().where());
  }
}

// y1 = x1 + f(x2), y2 = x2 + g(y1), over and over, with x1 and x2 the halves of x along an axis.
ValueId BlockBuilder::reversible(Fields& fields, ValueId x, const Scope& scope) {
  const Yaml* times = fields.find("times");
  const size_t rounds = times ? rounds_of(*times, scope.variables) : 1;
  const Yaml* name = fields.find("name");
  const Yaml& f = fields.require("f");
  const Yaml* own = fields.find("g");
  const Yaml& g = own ? *own : f;
  const int64_t axis = fields.integer("axis", 1, 1, 8);
  const TensorType whole = builder_.type(x);
  const Dim extent = axis < whole.rank() ? whole.dims[size_t(axis)] : Dim(1);
  if (!extent.known() || extent.value() % 2 != 0)
    fields.map().fail("a reversible block needs two halves along axis " + std::to_string(axis) +
                      ", its input is " + to_string(whole));
  const int64_t half = extent.value() / 2;
  const Values halves = builder_.op("Split", {x, builder_.ints({half, half})}, {{"axis", axis}});
  ValueId x1 = halves[0], x2 = halves[1];
  const auto coupled = [&](const char* which, const Yaml& blocks, ValueId to, ValueId from,
                           const Scope& round) {
    const ValueId term = body(blocks, from, round.inside(which));
    if (builder_.type(term) != builder_.type(to))
      blocks.fail(std::string(which) + " turns " + to_string(builder_.type(from)) + " into " +
                      to_string(builder_.type(term)) + ", which cannot be added",
                  "what a reversible block adds has the shape of its halves");
    return builder_.add(to, term);
  };
  for (size_t i = 0; i < rounds; ++i) {
    Scope round = scope;
    round.variables["index"] = std::to_string(i);
    round.variables["half"] = std::to_string(half);
    if (name) round = round.inside(replace_variables(*name, round.variables));
    x1 = coupled("f", f, x1, x2, round);
    x2 = coupled("g", g, x2, x1, round);
  }
  return builder_.one("Concat", {x1, x2}, {{"axis", axis}});
}

}  // namespace espalier
