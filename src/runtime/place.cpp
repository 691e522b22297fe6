#include <algorithm>

#include "base/error.h"
#include "runtime/lower.h"
#include "runtime/memory_plan.h"

namespace espalier {
namespace {

class Placement {
 public:
  explicit Placement(ProgramImpl& p) : p_(p), root_(p.buffers.size()), life_(p.buffers.size()) {
    for (size_t i = 0; i < root_.size(); ++i) root_[i] = int(i);
  }

  void run() {
    find_lives();
    share_in_place();
    std::vector<BufferLife> lives;
    std::vector<size_t> of_buffer(p_.buffers.size(), 0);
    for (size_t b = 0; b < p_.buffers.size(); ++b) {
      if (!in_arena(int(b)) || root_[b] != int(b) || life_[b].first < 0) continue;
      of_buffer[b] = lives.size();
      lives.push_back(life_[b]);
    }
    const size_t first_scratch = lives.size();
    for (size_t i = 0; i < p_.instructions.size(); ++i)
      lives.push_back({p_.instructions[i].kernel->scratch_bytes, int(i), int(i)});
    const MemoryPlan plan = plan_memory(lives);
    for (size_t b = 0; b < p_.buffers.size(); ++b)
      if (in_arena(int(b)) && life_[b].first >= 0)
        p_.buffers[b].offset = plan.offsets[of_buffer[size_t(root_of(int(b)))]];
    for (size_t i = 0; i < p_.instructions.size(); ++i)
      p_.instructions[i].scratch_offset = plan.offsets[first_scratch + i];
    p_.arena_bytes = plan.bytes;
  }

 private:
  bool in_arena(int b) const { return p_.buffers[size_t(b)].place == Place::kArena; }
  int root_of(int b) const {
    while (root_[size_t(b)] != b) b = root_[size_t(b)];
    return b;
  }

  void find_lives() {
    for (size_t b = 0; b < life_.size(); ++b) life_[b] = {p_.buffers[b].bytes, -1, -1};
    for (size_t i = 0; i < p_.instructions.size(); ++i)
      for (const auto* list : {&p_.instructions[i].operands, &p_.instructions[i].results})
        for (int b : *list) {
          if (b == kNoBuffer) continue;
          BufferLife& l = life_[size_t(b)];
          if (l.first < 0) l.first = int(i);
          l.last = int(i);
        }
  }

  // A result takes the place of an operand nobody needs any more, where its kernel allows it.
  void share_in_place() {
    for (size_t i = 0; i < p_.instructions.size(); ++i) {
      const Instruction& ins = p_.instructions[i];
      std::vector<int> taken;
      for (const auto& [to, from] : in_place_buffers(ins)) {
        if (!in_arena(to) || !in_arena(from)) continue;
        if (root_[size_t(to)] != to || to == from) continue;
        const int base = root_of(from);
        BufferLife& l = life_[size_t(base)];
        const bool last = l.last == int(i) && p_.buffers[size_t(to)].bytes == l.bytes;
        const auto uses = std::count_if(ins.operands.begin(), ins.operands.end(), [&](int o) {
          return o != kNoBuffer && in_arena(o) && root_of(o) == base;
        });
        if (!last || uses != 1 || std::find(taken.begin(), taken.end(), base) != taken.end())
          continue;
        taken.push_back(base);
        root_[size_t(to)] = base;
        l.last = life_[size_t(to)].last;
      }
    }
  }

  ProgramImpl& p_;
  std::vector<int> root_;
  std::vector<BufferLife> life_;
};

}  // namespace

std::vector<std::pair<int, int>> in_place_buffers(const Instruction& instruction) {
  const auto &operands = instruction.operands, &results = instruction.results;
  std::vector<std::pair<int, int>> pairs;
  for (const auto& [result, operand] : instruction.kernel->in_place) {
    ESP_CHECK(result >= 0 && operand >= 0, "kernels share places of operands and results");
    if (size_t(result) >= results.size() || size_t(operand) >= operands.size()) continue;
    const int to = results[size_t(result)], from = operands[size_t(operand)];
    if (to != kNoBuffer && from != kNoBuffer) pairs.emplace_back(to, from);
  }
  return pairs;
}

void place_buffers(ProgramImpl& program) {
  Placement(program).run();
  for (const Buffer& b : program.buffers) {
    if (b.place == Place::kConstant) program.weight_bytes += b.bytes;
    if (b.place == Place::kState) program.state_bytes += b.bytes;
  }
  for (const Instruction& i : program.instructions) program.weight_bytes += i.kernel->packed_bytes;
}

}  // namespace espalier
