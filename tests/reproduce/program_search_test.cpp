// The search for update programs on a loss that is known: how far a program is from the sign of a
// momentum.
#include "reproduce/program_search.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <set>

namespace espalier {
namespace {

/// The mean distance of a program's updates from those of sign(0.9 s + 0.1 g).
double distance(const UpdateProgram& p) {
  std::array<double, UpdateProgram::kRegisters> r{};
  double momentum = 0, sum = 0;
  for (int step = 0; step < 30; ++step) {
    const double g = std::sin(2.0 * step) + 0.3;
    momentum = 0.9 * momentum + 0.1 * g;
    r[UpdateProgram::kGradient] = g;
    p.run(r);
    sum += std::abs(p.rate * r[UpdateProgram::kUpdate] - (momentum > 0 ? 1 : -1));
  }
  return std::isfinite(sum) ? sum / 30 : INFINITY;
}

TEST(ProgramSearch, FindsTheSignAndMoreThanItWasGiven) {
  ProgramSearch search;
  search.candidates = 300;
  search.population = 30;
  search.seed = 3;
  int64_t asked = 0;
  std::set<uint64_t> seen;
  const FoundPrograms found = search_programs(gradient_descent(), search, [&](const auto& p) {
    ++asked;
    EXPECT_TRUE(seen.insert(p.behaviour()).second) << p.text() << " was asked about twice";
    EXPECT_EQ(p, p.simplified());
    return distance(p);
  });
  EXPECT_EQ(found.evaluated, asked);
  EXPECT_EQ(found.evaluated, search.candidates);
  EXPECT_GT(found.known, 0);
  ASSERT_FALSE(found.best.empty());
  EXPECT_LE(std::ssize(found.best), search.finalists);
  EXPECT_LT(found.best[0].loss, 0.5 * distance(gradient_descent())) << found.best[0].program.text();
  for (size_t i = 1; i < found.best.size(); ++i)
    EXPECT_LE(found.best[i - 1].loss, found.best[i].loss);
  // Another time the same.
  const FoundPrograms again = search_programs(gradient_descent(), search, distance);
  ASSERT_EQ(again.best.size(), found.best.size());
  for (size_t i = 0; i < found.best.size(); ++i)
    EXPECT_EQ(again.best[i].program, found.best[i].program);
}

TEST(ProgramSearch, MutationsStayWithinTheirBounds) {
  const Rng rng(7, 1);
  UpdateProgram p = gradient_descent();
  bool longest = false, changed_rate = false;
  for (uint64_t n = 0; n < 3000; ++n) {
    p = mutated(p, 5, rng, n * 100);
    ASSERT_LE(p.code.size(), 5u);
    longest = longest || p.code.size() == 5;
    changed_rate = changed_rate || p.rate != 1;
    for (const UpdateInstruction& i : p.code) {
      ASSERT_GE(i.to, UpdateProgram::kFirstWritable);
      ASSERT_LT(i.to, UpdateProgram::kRegisters);
      ASSERT_TRUE(i.a >= 0 && i.a < UpdateProgram::kRegisters);
      ASSERT_TRUE(i.b >= 0 && i.b < UpdateProgram::kRegisters);
    }
  }
  EXPECT_TRUE(longest && changed_rate);
}

}  // namespace
}  // namespace espalier
