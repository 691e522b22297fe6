#include "reproduce/program_search.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <map>

namespace espalier {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr double kNumbers[] = {0.5, 0.9, 0.95, 0.99, 0.1, 2};
constexpr double kRateFactors[] = {0.1, 0.3, 0.5, 2, 3, 10};

/// Draws one after another.
class Draws {
 public:
  Draws(const Rng& rng, uint64_t at) : rng_(rng), at_(at) {}
  int64_t below(int64_t n) { return int64_t(rng_.below(at_++, uint64_t(n))); }
  template <size_t n>
  double of(const double (&list)[n]) {
    return list[size_t(below(int64_t(n)))];
  }

 private:
  const Rng& rng_;
  uint64_t at_;
};

UpdateInstruction drawn_instruction(Draws& draws) {
  constexpr int kAll = UpdateProgram::kRegisters, kFirst = UpdateProgram::kFirstWritable;
  UpdateInstruction i;
  i.op = ProgramOp(draws.below(kProgramOps));
  i.to = kFirst + int(draws.below(kAll - kFirst));
  i.a = int(draws.below(kAll));
  i.b = int(draws.below(kAll));
  i.number = draws.of(kNumbers);
  return i;
}

void change(UpdateInstruction& i, Draws& draws) {
  const UpdateInstruction other = drawn_instruction(draws);
  switch (draws.below(5)) {
    case 0: i.op = other.op; break;
    case 1: i.to = other.to; break;
    case 2: i.a = other.a; break;
    case 3: i.b = other.b; break;
    default: i.number = other.number; break;
  }
}

}  // namespace

UpdateProgram mutated(const UpdateProgram& program, int64_t longest, const Rng& rng,
                      uint64_t draw) {
  Draws draws(rng, draw);
  UpdateProgram p = program;
  const auto length = int64_t(p.code.size());
  int64_t kind = draws.below(8);  // 0 to 2: insert; 3: remove; 4 to 6: change; 7: the rate
  if (kind < 3 && length >= longest) kind = 4;
  if (kind >= 3 && kind < 7 && length == 0) kind = 0;
  if (kind < 3) {
    p.code.insert(p.code.begin() + draws.below(length + 1), drawn_instruction(draws));
  } else if (kind == 3) {
    p.code.erase(p.code.begin() + draws.below(length));
  } else if (kind < 7) {
    change(p.code[size_t(draws.below(length))], draws);
  } else {
    p.rate *= draws.of(kRateFactors);
  }
  return p;
}

FoundPrograms search_programs(const UpdateProgram& first, const ProgramSearch& search,
                              const std::function<double(const UpdateProgram&)>& loss) {
  constexpr uint64_t kDraws = 1000;  // for each program
  // Programs that do what another did cost nothing, but may be all that there are.
  constexpr int64_t kMostKnown = 100;  // for each candidate
  struct Individual {
    UpdateProgram program;
    double loss;
  };
  FoundPrograms found;
  std::map<uint64_t, FoundPrograms::Entry> by_behaviour;
  const auto looked_at = [&](const UpdateProgram& program) {
    const UpdateProgram simple = program.simplified();
    const uint64_t behaviour = simple.behaviour();
    if (behaviour == 0 || simple.code.empty()) {
      ++found.broken;
      return kNever;
    }
    const auto known = by_behaviour.find(behaviour);
    if (known != by_behaviour.end()) {
      ++found.known;
      return known->second.loss;
    }
    ++found.evaluated;
    const double value = loss(simple);
    by_behaviour[behaviour] = {simple, value};
    return value;
  };
  const Rng rng(search.seed, stream_of("program search"));
  std::deque<Individual> population;
  population.push_back({first, looked_at(first)});
  const int64_t most = kMostKnown * search.candidates;
  for (int64_t n = 1; n < most && found.evaluated < search.candidates; ++n) {
    const uint64_t at = uint64_t(n) * kDraws;
    const Individual* parent = nullptr;
    for (int64_t k = 0; k < search.tournament; ++k) {
      const Individual& one =
          population[size_t(rng.below(at + uint64_t(k), uint64_t(population.size())))];
      if (!parent || one.loss < parent->loss) parent = &one;
    }
    const UpdateProgram child =
        mutated(parent->program, search.longest, rng, at + uint64_t(search.tournament));
    population.push_back({child, looked_at(child)});
    if (std::ssize(population) > search.population) population.pop_front();
  }
  for (const auto& [behaviour, entry] : by_behaviour) found.best.push_back(entry);
  std::ranges::stable_sort(found.best, {}, &FoundPrograms::Entry::loss);
  if (std::ssize(found.best) > search.finalists) found.best.resize(size_t(search.finalists));
  return found;
}

}  // namespace espalier
