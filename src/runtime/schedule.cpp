#include "runtime/schedule.h"

#include <algorithm>

#include "base/error.h"
#include "bind/binder.h"
#include "runtime/order.h"

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

/// Whether the results take less of the arena than the operands.
bool shrinks(const ProgramImpl& p, const Instruction& ins) {
  const auto bytes = [&](const std::vector<int>& buffers) {
    size_t sum = 0;
    for (int b : buffers)
      if (b != kNoBuffer && p.buffers[size_t(b)].place == Place::kArena)
        sum += p.buffers[size_t(b)].bytes;
    return sum;
  };
  return bytes(ins.results) < bytes(ins.operands);
}

/// The order of the instructions with `before` edges; empty if they form a cycle.
std::vector<int> ordered(const ProgramImpl& p, const std::vector<std::pair<int, int>>& before) {
  std::vector<Work> works;
  for (const Instruction& ins : p.instructions)
    works.push_back({ins.operands, ins.results, shrinks(p, ins)});
  std::vector<bool> wanted;
  for (const Buffer& b : p.buffers) wanted.push_back(b.place == Place::kOutput);
  return update_early(works, wanted, before);
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
