#include "compress/repeated_blocks.h"

#include <algorithm>
#include <array>
#include <map>
#include <string>

#include "base/rng.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "train/graph_part.h"

namespace espalier {
namespace {

/// Values that alone go on from where they are made, in the order of the graph; an only input is
/// the first.
std::vector<ValueId> narrow_places(const Graph& g) {
  const std::vector<bool> data = values_behind(g, g.inputs());
  const auto of_data = [&](ValueId v) { return v != kNoValue && data[size_t(v)]; };
  std::map<ValueId, int64_t> readers;
  for (NodeId id : g.order())
    for (ValueId v : g.node(id).inputs)
      if (of_data(v)) ++readers[v];
  for (ValueId v : g.outputs()) ++readers[v];
  std::map<ValueId, int64_t> open;  // what has been made, with the readers to come
  for (ValueId v : g.inputs())
    if (readers.contains(v)) open[v] = readers[v];
  std::vector<ValueId> places;
  const auto note = [&] {
    if (open.size() == 1 && (places.empty() || places.back() != open.begin()->first))
      places.push_back(open.begin()->first);
  };
  note();
  for (NodeId id : g.order()) {
    const Node& n = g.node(id);
    if (std::ranges::none_of(n.outputs, of_data)) continue;
    for (ValueId v : n.inputs)
      if (of_data(v) && --open[v] == 0) open.erase(v);
    for (ValueId v : n.outputs)
      if (of_data(v) && readers.contains(v)) open[v] = readers[v];
    note();
  }
  return places;
}

/// What lies between two narrow places.
struct Stretch {
  ValueId in = kNoValue, out = kNoValue;
  std::vector<ValueId> constants;
  bool has_parameter = false;
  std::string text;  ///< equal for stretches that compute the same function
};

Stretch stretch_between(const Graph& g, ValueId in, ValueId out) {
  Stretch s{in, out, {}, false, ""};
  Graph part = part_of(g, std::array{in}, std::array{out});
  for (ValueId v : part.constants()) {
    Value& c = part.mutable_value(v);
    s.constants.push_back(g.find(c.name));
    c.role = g.value(s.constants.back()).role;
    s.has_parameter = s.has_parameter || c.role == Role::kParameter;
    // Values of what training moves do not count.
    if (c.role != Role::kNone) c.constant = Tensor(c.constant->dtype(), c.constant->shape());
  }
  std::vector<ValueId> values = part.constants();
  for (NodeId id : part.order()) {
    part.mutable_node(id).name.clear();
    for (ValueId v : part.node(id).outputs)
      if (v != kNoValue) values.push_back(v);
  }
  if (const ValueId own = part.find(g.value(in).name); own != kNoValue) values.push_back(own);
  for (size_t i = 0; i < values.size(); ++i)
    part.rename(values[i], part.fresh_name("#" + std::to_string(i)));
  s.text =
      print(part, {.max_literal = 0, .external = [](const Tensor& t) {
                     const std::string_view bytes(static_cast<const char*>(t.raw()), t.bytes());
                     return int64_t(stream_of(bytes) >> 1);
                   }});
  return s;
}

/// How often the `period` stretches from `at` on follow each other.
size_t repeats(const std::vector<Stretch>& s, size_t at, size_t period) {
  size_t alike = 0;
  while (at + period + alike < s.size() && s[at + alike].text == s[at + period + alike].text)
    ++alike;
  return 1 + alike / period;
}

}  // namespace

std::vector<BlockRun> repeated_blocks(const Graph& g) {
  const std::vector<ValueId> places = narrow_places(g);
  std::vector<Stretch> stretches;
  for (size_t i = 0; i + 1 < places.size(); ++i)
    stretches.push_back(stretch_between(g, places[i], places[i + 1]));
  std::vector<BlockRun> runs;
  for (size_t at = 0; at < stretches.size();) {
    size_t period = 0, covered = 0;
    for (size_t p = 1; at + 2 * p <= stretches.size(); ++p) {
      const auto begin = stretches.begin() + int64_t(at), end = begin + int64_t(p);
      if (std::none_of(begin, end, [](const Stretch& s) { return s.has_parameter; })) continue;
      const size_t n = repeats(stretches, at, p);
      if (n >= 2 && n * p > covered) {
        period = p;
        covered = n * p;
      }
    }
    if (period == 0) {
      ++at;
      continue;
    }
    BlockRun run;
    for (size_t b = at; b < at + covered; b += period) {
      RepeatedBlock block{stretches[b].in, stretches[b + period - 1].out, {}};
      for (size_t i = b; i < b + period; ++i)
        block.constants.insert(block.constants.end(), stretches[i].constants.begin(),
                               stretches[i].constants.end());
      run.push_back(std::move(block));
    }
    runs.push_back(std::move(run));
    at += covered;
  }
  return runs;
}

Graph without_blocks(const Graph& network, std::span<const RepeatedBlock> blocks) {
  Graph g = network;
  for (size_t first = 0; first < blocks.size();) {
    size_t last = first;
    while (last + 1 < blocks.size() && blocks[last + 1].in == blocks[last].out) ++last;
    const ValueId from = blocks[last].out, to = blocks[first].in;
    const bool result = std::ranges::count(g.outputs(), from) > 0;
    const std::string name = g.value(from).name;
    g.replace_uses(from, to);
    g.erase_dead();
    if (result) g.rename(to, name);
    first = last + 1;
  }
  g = g.compacted();
  verify(g, "leaving out blocks");
  return g;
}

}  // namespace espalier
