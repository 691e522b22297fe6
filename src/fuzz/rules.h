// Rules of a form, inferred from records of it: which equalities, bounds, divisions and broadcasts
// hold between its numbers in every use that inference accepts, and fail in some that it refuses
// (Liu et al., "NeuRI: Diversifying DNN Generation via Inductive Rule Inference", FSE 2023).
//
// Records come from trying out: numbers of the sample are changed, alone and together with those
// that equal them, and inference says whether the operator takes the result.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "fuzz/forms.h"

namespace espalier::fuzz {

/// A symbol, or two joined by '+', '-' or '*'.
struct Term {
  int a = 0, b = -1;
  char op = ' ';
};
int64_t value_of(const Term& t, const Assignment& numbers);

struct Rule {
  enum class Kind : uint8_t {
    kEqual,       ///< left == right
    kAtLeast,     ///< left >= right
    kDivides,     ///< right > 0 and left is a multiple of it
    kBroadcasts,  ///< equal, or one of them is 1
  } kind = Kind::kEqual;
  Term left, right;
};
bool holds(const Rule& r, const Assignment& numbers);
/// "s0.1 == s1.1 * group".
std::string to_string(const Rule& r, const Form& form);

/// Uses of one form that inference accepted and refused.
struct Records {
  std::vector<Assignment> valid;    ///< with the result's numbers
  std::vector<Assignment> invalid;  ///< given numbers alone
  /// What inference failed with that was no refusal: defects of ours.
  std::vector<std::string> broken;
};
Records try_out(const Form& form, int trials, const Rng& rng);

struct Rules {
  std::vector<Rule> rules;   ///< between the numbers that are given
  std::vector<Rule> result;  ///< the result's numbers from them
  /// The least and the most that each given number was in a valid use.
  std::vector<std::pair<int64_t, int64_t>> seen;

  /// Whether a use should be valid, as far as the records tell.
  bool accept(const Assignment& numbers) const;
};
Rules inferred(const Form& form, const Records& records);

/// Numbers that keep the rules: those that are `fixed` as they stand in `start`, the others near
/// it, changed where a rule asks for it. With `with_result` the result's numbers are looked at too.
/// Nothing where the search gave up.
std::optional<Assignment> solved(const Form& form, const Rules& rules, Assignment start,
                                 const std::vector<bool>& fixed, bool with_result, const Rng& rng);

/// The sample with some numbers changed at random: what there is without rules.
Assignment disturbed(const Form& form, const std::vector<bool>& fixed, Assignment start,
                     const Rng& rng);

}  // namespace espalier::fuzz
