#include "fuzz/case.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "base/error.h"
#include "ir/text.h"
#include "passes/passes.h"

namespace espalier::fuzz {

Tensor drawn(DType dtype, const Shape& shape, const Range& range, const Rng& rng) {
  Tensor wide(DType::f64, shape);
  double* p = wide.mutable_data<double>();
  for (int64_t i = 0; i < wide.size(); ++i)
    p[i] = is_float(dtype) ? rng.uniform(uint64_t(i), range.lo, range.hi)
                           : std::floor(rng.uniform(uint64_t(i), range.lo, range.hi + 1));
  return wide.cast(dtype);
}

std::vector<Shape> shapes_of(const Case& c) {
  std::vector<Shape> shapes;
  for (ValueId v : c.graph.inputs()) {
    const Value& value = c.graph.value(v);
    if (!value.type.is_tensor())
      throw unsupported("input '" + value.name + "'",
                        "is " + to_string(value.type) + "; cases are fed tensors");
    Shape shape;
    for (const Dim& d : value.tensor().dims) {
      const auto given = c.extents.find(d.name());
      if (!d.known() && given == c.extents.end())
        throw bad_input("input '" + value.name + "'",
                        "has an extent '" + to_string(d) + "' that nothing gives a number for",
                        "meta \"fuzz.extent." + d.name() + "\" = \"3\" does");
      shape.push_back(d.known() ? d.value() : given->second);
    }
    shapes.push_back(std::move(shape));
  }
  return shapes;
}

std::vector<Tensor> inputs_of(const Case& c) {
  const std::vector<Shape> shapes = shapes_of(c);
  std::vector<Tensor> inputs;
  for (size_t i = 0; i < shapes.size(); ++i) {
    const Value& value = c.graph.value(c.graph.inputs()[i]);
    const auto range = c.ranges.find(value.name);
    inputs.push_back(drawn(value.tensor().dtype, shapes[i],
                           range == c.ranges.end() ? Range{} : range->second,
                           Rng(c.seed, stream_of("fuzz input " + value.name))));
  }
  return inputs;
}

void settle(Case& c) {
  Graph& g = c.graph;
  const auto users = g.users();
  std::vector<ValueId> outputs;
  for (NodeId id : g.order())
    for (ValueId v : g.node(id).outputs)
      if (v != kNoValue && users[size_t(v)].empty()) outputs.push_back(v);
  g.set_outputs(std::move(outputs));
  const std::vector<ValueId> inputs(g.inputs().begin(), g.inputs().end());
  for (ValueId v : inputs) {
    if (!users[size_t(v)].empty()) continue;
    c.ranges.erase(g.value(v).name);
    g.erase_input(v);
  }
  g.erase_dead();
  g = g.compacted();
}

// ---- as text ------------------------------------------------------------------------------------

namespace {

const std::string kPrefix = "fuzz.";

std::string number(double v) {
  char text[32];
  std::snprintf(text, sizeof text, "%.17g", v);
  return text;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& w : words) text += (text.empty() ? "" : ",") + w;
  return text;
}

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    if (end > at) words.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

template <class T>
T parsed(std::string_view text, const std::string& where) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    throw bad_input(where, "'" + std::string(text) + "' is not a number it can have");
  return value;
}

Range range_from(const std::string& text, const std::string& where) {
  const size_t blank = text.find(' ');
  if (blank == std::string::npos)
    throw bad_input(where, "'" + text + "' is not two numbers with a blank between them");
  const Range r{parsed<double>(std::string_view(text).substr(0, blank), where),
                parsed<double>(std::string_view(text).substr(blank + 1), where)};
  if (!(std::abs(r.lo) < 1e30 && std::abs(r.hi) < 1e30 && r.lo <= r.hi))
    throw bad_input(where, "'" + text + "' is no range");
  return r;
}

}  // namespace

std::string to_text(const Case& c, const Note& note) {
  Graph g = c.graph;
  auto& meta = g.metadata;
  meta[kPrefix + "passes"] = joined(c.passes);
  meta[kPrefix + "seed"] = std::to_string(c.seed);
  for (const auto& [name, r] : c.ranges)
    if (g.find(name) != kNoValue)
      meta[kPrefix + "range." + name] = number(r.lo) + " " + number(r.hi);
  for (const auto& [name, extent] : c.extents)
    meta[kPrefix + "extent." + name] = std::to_string(extent);
  if (!note.oracle.empty()) meta[kPrefix + "oracle"] = note.oracle;
  if (!note.found.empty()) meta[kPrefix + "found"] = note.found;
  return print(g);
}

Case case_from_text(std::string_view text, const std::string& file, Note* note) {
  Case c;
  c.graph = parse_graph(text, file);
  auto& meta = c.graph.metadata;
  for (auto it = meta.begin(); it != meta.end();) {
    if (!it->first.starts_with(kPrefix)) {
      ++it;
      continue;
    }
    const std::string key = it->first.substr(kPrefix.size()), value = it->second;
    const std::string where = file + ": " + it->first;
    const auto rest = [&](std::string_view head) { return key.substr(head.size()); };
    if (key == "passes") {
      c.passes = words_of(value);
      for (const std::string& name : c.passes) pass_named(name);
    } else if (key == "seed") {
      c.seed = parsed<uint64_t>(value, where);
    } else if (key.starts_with("range.")) {
      c.ranges[rest("range.")] = range_from(value, where);
    } else if (key.starts_with("extent.")) {
      const auto extent = parsed<int64_t>(value, where);
      if (extent < 0 || extent > 4096)
        throw bad_input(where, "an extent of " + value + " is out of reach");
      c.extents[rest("extent.")] = extent;
    } else if (key == "oracle" || key == "found") {
      if (note) (key == "oracle" ? note->oracle : note->found) = value;
    } else {
      throw bad_input(where, "is not known",
                      "known: fuzz.passes, fuzz.seed, fuzz.range.INPUT, fuzz.extent.SYMBOL, "
                      "fuzz.oracle, fuzz.found");
    }
    it = meta.erase(it);
  }
  return c;
}

}  // namespace espalier::fuzz
