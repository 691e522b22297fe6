// Rules inferred from records of operators, against what inference says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "fuzz/library.h"
#include "ir/registry.h"

namespace espalier::fuzz {
namespace {

/// The form of two operands of rank 2, numbers s0.0 s0.1 s1.0 s1.1.
const Form& product(const Library& library) {
  for (const Form& f : library.forms(0))
    if (f.given == 4 && f.operands[0].shape.size() == 2 && f.operands[1].shape.size() == 2)
      return f;
  throw std::logic_error("no form of two matrices");
}

TEST(Forms, HaveSymbolsForWhatInferenceLooksAt) {
  const Library library({&room_named("MatMul")});
  const Form& f = product(library);
  ASSERT_EQ(f.symbols.size(), 6u);
  EXPECT_EQ(to_string(f.symbols[1]), "s0.1");
  EXPECT_EQ(to_string(f.symbols[5]), "y.1");
  EXPECT_EQ(f.sample, (Assignment{3, 4, 4, 5, 3, 5}));
  const Types types = types_of(f, {2, 7, 7, 3});
  ASSERT_EQ(types.size(), 1u);
  EXPECT_EQ(to_string(types[0]), "f32[2,3]");
  EXPECT_THROW(types_of(f, {2, 7, 6, 3}), UserError);
}

TEST(Forms, PutAxesInFrontWhereTheOperatorTakesThem) {
  std::vector<size_t> ranks;
  for (const Form& f : forms_of(room_named("Sub"))) ranks.push_back(f.operands[0].shape.size());
  EXPECT_THAT(ranks, ::testing::Contains(4u));
}

TEST(Rules, FindWhatAProductNeedsAndGives) {
  Library library({&room_named("MatMul")});
  const Form& f = product(library);
  const Rules& rules = library.rules(f);
  std::vector<std::string> texts, results;
  for (const Rule& r : rules.rules) texts.push_back(to_string(r, f));
  for (const Rule& r : rules.result) results.push_back(to_string(r, f));
  EXPECT_THAT(texts, ::testing::Contains("s0.1 == s1.0"));
  EXPECT_THAT(results, ::testing::ElementsAre("y.0 == s0.0", "y.1 == s1.1"));
}

TEST(Rules, AreTheSameInEveryLibrary) {
  Library a({&room_named("Conv")}), b({&room_named("Conv")});
  ASSERT_EQ(a.forms(0).size(), b.forms(0).size());
  for (size_t i = 0; i < a.forms(0).size(); ++i) {
    const Form &f = a.forms(0)[i], &g = b.forms(0)[i];
    std::string x, y;
    for (const Rule& r : a.rules(f).rules) x += to_string(r, f) + "\n";
    for (const Rule& r : b.rules(g).rules) y += to_string(r, g) + "\n";
    EXPECT_EQ(x, y);
  }
}

// What rules accept is valid more often than what was tried at random.
TEST(Rules, TellValidUsesFromOthers) {
  Library library({&room_named("MatMul"), &room_named("Conv"), &room_named("Concat"),
                   &room_named("Where"), &room_named("Gemm")});
  RuleScore all;
  for (size_t op = 0; op < library.operators(); ++op)
    for (const Form& f : library.forms(op)) {
      const RuleScore s = score(f, library.rules(f), 60, Rng(99, op));
      all.uses += s.uses;
      all.valid += s.valid;
      all.accepted += s.accepted;
      all.both += s.both;
    }
  ASSERT_GT(all.accepted, 0);
  ASSERT_LT(all.valid, all.uses);
  EXPECT_GT(double(all.both) / double(all.accepted), double(all.valid) / double(all.uses));
}

TEST(Solving, KeepsWhatIsFixed) {
  Library library({&room_named("MatMul")});
  const Form& f = product(library);
  const Assignment start = {6, 9, 4, 5};
  const auto numbers =
      solved(f, library.rules(f), start, {true, true, false, false}, false, Rng(1, 1));
  ASSERT_TRUE(numbers);
  EXPECT_EQ((*numbers)[0], 6);
  EXPECT_EQ((*numbers)[1], 9);
  EXPECT_EQ((*numbers)[2], 9);
  EXPECT_NO_THROW(types_of(f, *numbers));
  // Nothing may change, and the operands do not fit.
  EXPECT_FALSE(
      solved(f, library.rules(f), start, {true, true, true, true}, false, Rng(1, 1)).has_value());
}

TEST(Solving, GoesBackFromResults) {
  Library library({&room_named("MatMul")});
  const Form& f = product(library);
  std::vector<bool> fixed = {false, false, false, false, true, true};
  const auto numbers =
      solved(f, library.rules(f), {3, 4, 4, 5, 8, 2}, fixed, /*with_result=*/true, Rng(1, 2));
  ASSERT_TRUE(numbers);
  EXPECT_EQ(to_string(types_of(f, *numbers)[0]), "f32[8,2]");
}

}  // namespace
}  // namespace espalier::fuzz
