#include "fuzz/library.h"

#include "base/error.h"
#include "ir/registry.h"

namespace espalier::fuzz {
namespace {

constexpr int kTrials = 160;

std::vector<const Room*> every_room() { return {all_rooms().begin(), all_rooms().end()}; }

}  // namespace

Library::Library() : Library(every_room()) {}

Library::Library(const std::vector<const Room*>& rooms) {
  for (const Room* room : rooms)
    if (std::vector<Form> forms = forms_of(*room); !forms.empty())
      forms_.push_back(std::move(forms));
  ESP_CHECK(!forms_.empty(), "no room has forms; was register_rooms() called?");
}

const Rules& Library::rules(const Form& form) {
  const auto known = rules_.find(&form);
  if (known != rules_.end()) return known->second;
  const Records records = try_out(form, kTrials, Rng(0, stream_of(form.room->full_name())));
  broken_.insert(broken_.end(), records.broken.begin(), records.broken.end());
  return rules_.emplace(&form, inferred(form, records)).first->second;
}

RuleScore score(const Form& form, const Rules& rules, int trials, const Rng& rng) {
  RuleScore s;
  const Records fresh = try_out(form, trials, rng);
  const auto count = [&](const std::vector<Assignment>& uses, bool valid) {
    for (const Assignment& numbers : uses) {
      const bool accepted = rules.accept(numbers);
      ++s.uses;
      s.valid += valid;
      s.accepted += accepted;
      s.both += valid && accepted;
    }
  };
  count(fresh.valid, true);
  count(fresh.invalid, false);
  return s;
}

}  // namespace espalier::fuzz
