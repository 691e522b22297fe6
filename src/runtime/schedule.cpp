#include "runtime/schedule.h"

#include <algorithm>
#include <functional>
#include <queue>

#include "base/error.h"
#include "bind/binder.h"

namespace espalier {
namespace {

int writer_of(const ProgramImpl& p, int buffer) {
  for (size_t i = 0; i < p.instructions.size(); ++i)
    for (int r : p.instructions[i].results)
      if (r == buffer) return int(i);
  return -1;
}

// The writer may overwrite the state it reads only if its kernel allows that pair.
bool may_overwrite(const Instruction& writer, const StateWrite& w) {
  const auto uses = std::count(writer.operands.begin(), writer.operands.end(), w.state);
  const auto pairs = in_place_buffers(writer);
  const bool allowed =
      std::find(pairs.begin(), pairs.end(), std::pair(w.source, w.state)) != pairs.end();
  return uses == 0 || (uses == 1 && allowed);
}

/// When each instruction wants to run: where it stands, but what serves next states alone (an
/// update, and the gradient that only the update reads) as soon as it can, so that its operands
/// need not be kept (PockEngine, arXiv:2310.17752, section 3.2: operator reordering).
std::vector<int> wanted_places(const ProgramImpl& p) {
  const size_t n = p.instructions.size();
  std::vector<bool> read_later(p.buffers.size(), false), early(n, false);
  std::vector<int> writer(p.buffers.size(), -1), place(n);
  for (size_t i = n; i-- > 0;) {
    const Instruction& ins = p.instructions[i];
    early[i] = std::all_of(ins.results.begin(), ins.results.end(), [&](int r) {
      return r == kNoBuffer ||
             (!read_later[size_t(r)] && p.buffers[size_t(r)].place != Place::kOutput);
    });
    if (early[i]) continue;
    for (int o : ins.operands)
      if (o != kNoBuffer) read_later[size_t(o)] = true;
  }
  for (size_t i = 0; i < n; ++i) {
    const Instruction& ins = p.instructions[i];
    place[i] = early[i] ? 0 : int(i);
    if (early[i])
      for (int o : ins.operands)
        if (o != kNoBuffer && writer[size_t(o)] >= 0)
          place[i] = std::max(place[i], place[size_t(writer[size_t(o)])]);
    for (int r : ins.results)
      if (r != kNoBuffer) writer[size_t(r)] = int(i);
  }
  return place;
}

/// The smallest order of wanted places that respects data and `before` edges; empty if they form a
/// cycle.
std::vector<int> ordered(const ProgramImpl& p, const std::vector<std::pair<int, int>>& before) {
  const size_t n = p.instructions.size();
  const std::vector<int> place = wanted_places(p);
  std::vector<int> writer(p.buffers.size(), -1), waits(n, 0);
  for (size_t i = 0; i < n; ++i)
    for (int r : p.instructions[i].results)
      if (r != kNoBuffer) writer[size_t(r)] = int(i);
  std::vector<std::vector<int>> next(n);
  const auto edge = [&](int from, int to) {
    next[size_t(from)].push_back(to);
    ++waits[size_t(to)];
  };
  for (size_t i = 0; i < n; ++i)
    for (int o : p.instructions[i].operands)
      if (o != kNoBuffer && writer[size_t(o)] >= 0) edge(writer[size_t(o)], int(i));
  for (const auto& [from, to] : before) edge(from, to);
  using Turn = std::pair<int, int>;  // place, position
  std::priority_queue<Turn, std::vector<Turn>, std::greater<>> ready;
  for (size_t i = 0; i < n; ++i)
    if (waits[i] == 0) ready.emplace(place[i], int(i));
  std::vector<int> order;
  while (!ready.empty()) {
    const int i = ready.top().second;
    ready.pop();
    order.push_back(i);
    for (int j : next[size_t(i)])
      if (--waits[size_t(j)] == 0) ready.emplace(place[size_t(j)], j);
  }
  if (order.size() != n) order.clear();
  return order;
}

void append_copy(ProgramImpl& p, StateWrite& w) {
  const size_t bytes = p.buffers[size_t(w.state)].bytes;
  Instruction ins;
  ins.kernel = reorder_kernel(DType::u8, {int64_t(bytes)}, Layout::kPlain, Layout::kPlain);
  ins.info = {"state copy", ins.kernel->name, 0, 2.0 * double(bytes), false};
  ins.operands = {w.source};
  p.buffers.push_back({Place::kArena, bytes, 0, 0, {}});
  w.source = int(p.buffers.size()) - 1;
  ins.results = {w.source};
  p.instructions.push_back(std::move(ins));
}

// Readers of the old state come before its writer.
std::vector<std::pair<int, int>> reads_before_writes(const ProgramImpl& p,
                                                     const std::vector<StateWrite>& writes) {
  std::vector<std::vector<int>> readers(p.buffers.size());
  std::vector<int> writer(p.buffers.size(), -1);
  for (size_t i = 0; i < p.instructions.size(); ++i) {
    for (int o : p.instructions[i].operands)
      if (o != kNoBuffer) readers[size_t(o)].push_back(int(i));
    for (int r : p.instructions[i].results)
      if (r != kNoBuffer) writer[size_t(r)] = int(i);
  }
  std::vector<std::pair<int, int>> before;
  for (const StateWrite& w : writes) {
    if (w.source == w.state) continue;
    const int by = writer[size_t(w.source)];
    for (int r : readers[size_t(w.state)])
      if (r != by) before.emplace_back(r, by);
  }
  return before;
}

}  // namespace

void schedule(ProgramImpl& p, const std::vector<StateWrite>& wanted) {
  std::vector<StateWrite> writes = wanted;
  for (StateWrite& w : writes) {
    if (w.source == w.state) continue;
    const int by = writer_of(p, w.source);
    ESP_CHECK(by >= 0, "a state is computed by an instruction");
    if (!may_overwrite(p.instructions[size_t(by)], w)) append_copy(p, w);
  }
  std::vector<int> order = ordered(p, reads_before_writes(p, writes));
  if (order.empty() && !p.instructions.empty()) {
    for (StateWrite& w : writes)
      if (w.source != w.state) append_copy(p, w);
    order = ordered(p, reads_before_writes(p, writes));
    ESP_CHECK(!order.empty(), "instructions depend on each other in a circle");
  }
  std::vector<Instruction> sorted;
  for (int i : order) sorted.push_back(std::move(p.instructions[size_t(i)]));
  p.instructions = std::move(sorted);
  std::vector<int> became(p.buffers.size());
  for (size_t i = 0; i < became.size(); ++i) became[i] = int(i);
  for (const StateWrite& w : writes) became[size_t(w.source)] = w.state;
  for (Instruction& ins : p.instructions)
    for (auto* list : {&ins.operands, &ins.results})
      for (int& b : *list)
        if (b != kNoBuffer) b = became[size_t(b)];
}

}  // namespace espalier
