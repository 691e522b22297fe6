// The forms of all operators, with the rules of those that were asked for.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fuzz/rules.h"

namespace espalier::fuzz {

class Library {
 public:
  /// Of every registered room that has forms.
  Library();
  explicit Library(const std::vector<const Room*>& rooms);

  size_t operators() const { return forms_.size(); }
  const std::vector<Form>& forms(size_t op) const { return forms_[op]; }
  /// Inferred at the first question, from records that are the same in every process.
  const Rules& rules(const Form& form);
  /// Defects that trying out met: inference that failed with something else than a refusal.
  const std::vector<std::string>& broken() const { return broken_; }

 private:
  std::vector<std::vector<Form>> forms_;  ///< by operator; never empty
  std::map<const Form*, Rules> rules_;
  std::vector<std::string> broken_;
};

/// How well rules foretell what inference accepts, on uses they were not inferred from.
struct RuleScore {
  int64_t uses = 0, valid = 0;  ///< tried; accepted by inference
  int64_t accepted = 0;         ///< accepted by the rules
  int64_t both = 0;
};
RuleScore score(const Form& form, const Rules& rules, int trials, const Rng& rng);

}  // namespace espalier::fuzz
