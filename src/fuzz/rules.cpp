#include "fuzz/rules.h"

#include <algorithm>

#include "base/error.h"
#include "fuzz/dice.h"

namespace espalier::fuzz {
namespace {

bool is_extent(const Form& f, size_t i) { return f.symbols[i].kind == Symbol::Kind::kExtent; }

/// Another number for a symbol. Attributes that are above zero stay so: what inference makes of a
/// stride of 0 is asked elsewhere.
int64_t another(const Form& f, size_t i, const Assignment& numbers, Dice& dice) {
  const int64_t now = numbers[i], sample = f.sample[i];
  const int64_t least = is_extent(f, i) ? 0 : sample >= 1 ? 1 : -3;
  int64_t next = now;
  switch (dice.below(6)) {
    case 0: next = now + 1; break;
    case 1: next = now - 1; break;
    case 2: next = 2 * now; break;
    case 3: next = numbers[dice.below(f.given)]; break;
    case 4: next = dice.between(1, 4); break;
    default: next = dice.between(least, 8); break;
  }
  return std::clamp<int64_t>(next, least, 16);
}

/// One to three numbers changed, each with those that equal it or alone.
Assignment changed(const Form& f, const std::vector<bool>& fixed, Assignment numbers, Dice& dice) {
  const size_t changes = 1 + dice.below(3);
  for (size_t k = 0; k < changes; ++k) {
    const size_t i = dice.below(f.given);
    if (fixed[i]) continue;
    const int64_t from = numbers[i], to = another(f, i, numbers, dice);
    const bool together = dice.chance(0.5);
    for (size_t j = 0; j < f.given; ++j)
      if (!fixed[j] && (j == i || (together && numbers[j] == from && is_extent(f, j) &&
                                   is_extent(f, i) && dice.chance(0.8))))
        numbers[j] = to;
  }
  return numbers;
}

}  // namespace

int64_t value_of(const Term& t, const Assignment& n) {
  const int64_t a = n[size_t(t.a)];
  switch (t.op) {
    case '+': return a + n[size_t(t.b)];
    case '-': return a - n[size_t(t.b)];
    case '*': return a * n[size_t(t.b)];
    default: return a;
  }
}

bool holds(const Rule& r, const Assignment& n) {
  const int64_t x = value_of(r.left, n), y = value_of(r.right, n);
  switch (r.kind) {
    case Rule::Kind::kEqual: return x == y;
    case Rule::Kind::kAtLeast: return x >= y;
    case Rule::Kind::kDivides: return y > 0 && x % y == 0;
    case Rule::Kind::kBroadcasts: return x == y || x == 1 || y == 1;
  }
  return false;
}

std::string to_string(const Rule& r, const Form& f) {
  const auto text = [&](const Term& t) {
    std::string s = to_string(f.symbols[size_t(t.a)]);
    if (t.op != ' ') s += std::string(" ") + t.op + " " + to_string(f.symbols[size_t(t.b)]);
    return s;
  };
  const char* sign = r.kind == Rule::Kind::kEqual     ? " == "
                     : r.kind == Rule::Kind::kAtLeast ? " >= "
                     : r.kind == Rule::Kind::kDivides ? " is a multiple of "
                                                      : " broadcasts with ";
  return text(r.left) + sign + text(r.right);
}

Assignment disturbed(const Form& f, const std::vector<bool>& fixed, Assignment start,
                     const Rng& rng) {
  Dice dice(rng);
  return f.given == 0 ? start : changed(f, fixed, std::move(start), dice);
}

Records try_out(const Form& f, int trials, const Rng& rng) {
  Records records;
  records.valid.push_back(f.sample);
  if (f.given == 0) return records;
  Dice dice(rng);
  const std::vector<bool> fixed(f.given, false);
  for (int t = 0; t < trials; ++t) {
    // From a valid use, not always the first: numbers move away from the sample's.
    Assignment start = dice.pick(records.valid);
    start.resize(f.given);
    Assignment numbers = changed(f, fixed, std::move(start), dice);
    try {
      const Types results = types_of(f, numbers);
      records.valid.push_back(with_result(f, std::move(numbers), results));
      // Results of another form (of another rank, of open extents) tell nothing of this one's.
      if (records.valid.back().size() != f.symbols.size()) records.valid.pop_back();
    } catch (const UserError&) {
      records.invalid.push_back(std::move(numbers));
    } catch (const std::exception& e) {
      records.broken.push_back(f.room->full_name() + ": " + e.what());
    }
  }
  return records;
}

// ---- inference ----------------------------------------------------------------------------------

namespace {

/// Enumerates rules from simple to long and keeps those that every valid use keeps and that refuse
/// an invalid use which no rule before them refuses.
class Synthesis {
 public:
  Synthesis(const Form& f, const Records& r) : f_(f), records_(r), open_(r.invalid) {}

  std::vector<Rule> run() {
    const int n = int(f_.given);
    for_pairs(n, [&](int i, int j) {
      if (i < j) consider(Rule::Kind::kEqual, {i}, {j});
    });
    for_pairs(n, [&](int i, int j) {
      if (i < j && is_extent(f_, size_t(i)) && is_extent(f_, size_t(j)))
        consider(Rule::Kind::kBroadcasts, {i}, {j});
    });
    const std::vector<Term> pairs = pairs_of(n);
    for_terms(n, pairs, [&](int i, const Term& t) { consider(Rule::Kind::kEqual, {i}, t); });
    for_pairs(n, [&](int i, int j) { consider(Rule::Kind::kDivides, {i}, {j}); });
    for_pairs(n, [&](int i, int j) { consider(Rule::Kind::kAtLeast, {i}, {j}); });
    for_terms(n, pairs, [&](int i, const Term& t) {
      if (t.op != '*') consider(Rule::Kind::kAtLeast, t, {i});
    });
    // a + b >= c - d: windows that must fit into what they are moved over.
    for (const Term& sum : pairs)
      for (const Term& difference : pairs)
        if (sum.op == '+' && difference.op == '-' && apart(sum, difference))
          consider(Rule::Kind::kAtLeast, sum, difference);
    return std::move(rules_);
  }

  /// The result's numbers, each by the simplest term that gives it in every valid use.
  std::vector<Rule> result() const {
    std::vector<Rule> rules;
    const int n = int(f_.given);
    std::vector<Term> terms;
    for (int i = 0; i < n; ++i) terms.push_back({i});
    const std::vector<Term> pairs = pairs_of(n);
    terms.insert(terms.end(), pairs.begin(), pairs.end());
    for (int y = n; y < int(f_.symbols.size()); ++y)
      for (const Term& t : terms) {
        const Rule rule{Rule::Kind::kEqual, {y}, t};
        if (!always(rule)) continue;
        rules.push_back(rule);
        break;
      }
    return rules;
  }

 private:
  template <class F>
  static void for_pairs(int n, F f) {
    for (int i = 0; i < n; ++i)
      for (int j = 0; j < n; ++j)
        if (i != j) f(i, j);
  }
  template <class F>
  static void for_terms(int n, const std::vector<Term>& terms, F f) {
    for (int i = 0; i < n; ++i)
      for (const Term& t : terms)
        if (t.a != i && t.b != i) f(i, t);
  }

  static bool apart(const Term& s, const Term& t) {
    return s.a != t.a && s.a != t.b && s.b != t.a && s.b != t.b;
  }

  static std::vector<Term> pairs_of(int n) {
    std::vector<Term> pairs;
    for (int i = 0; i < n; ++i)
      for (int j = 0; j < n; ++j) {
        if (i < j) pairs.push_back({i, j, '+'});
        if (i < j) pairs.push_back({i, j, '*'});
        if (i != j) pairs.push_back({i, j, '-'});
      }
    return pairs;
  }

  bool always(const Rule& r) const {
    return std::ranges::all_of(records_.valid, [&](const Assignment& n) { return holds(r, n); });
  }

  void consider(Rule::Kind kind, Term left, Term right) {
    const Rule r{kind, left, right};
    // One refused use may be chance where a rule leaves as much open as these do.
    const bool loose = kind == Rule::Kind::kAtLeast || kind == Rule::Kind::kDivides;
    const size_t least = loose && records_.invalid.size() > 20 ? 2 : 1;
    if (open_.size() < least || !always(r)) return;
    const auto refused = [&](const Assignment& n) { return !holds(r, n); };
    if (size_t(std::ranges::count_if(open_, refused)) < least) return;
    std::erase_if(open_, refused);
    rules_.push_back(r);
  }

  const Form& f_;
  const Records& records_;
  std::vector<Assignment> open_;  ///< invalid uses that no rule refuses yet
  std::vector<Rule> rules_;
};

}  // namespace

Rules inferred(const Form& f, const Records& records) {
  Rules rules;
  for (size_t i = 0; i < f.given; ++i) {
    const auto at = [i](const Assignment& n) { return n[i]; };
    const auto [least, most] = std::ranges::minmax(records.valid, {}, at);
    rules.seen.emplace_back(least[i], most[i]);
  }
  // What lies outside of what was seen needs no rule.
  Records inside = records;
  std::erase_if(inside.invalid, [&](const Assignment& n) { return !rules.accept(n); });
  Synthesis synthesis(f, inside);
  rules.result = synthesis.result();
  rules.rules = synthesis.run();
  return rules;
}

bool Rules::accept(const Assignment& numbers) const {
  for (size_t i = 0; i < seen.size(); ++i)
    if (numbers[i] < seen[i].first || numbers[i] > seen[i].second) return false;
  return std::ranges::all_of(rules, [&](const Rule& r) { return holds(r, numbers); });
}

// ---- solving ------------------------------------------------------------------------------------

namespace {

constexpr int kMostRepairs = 60;

/// Local search: a rule that does not hold is mended by one of its free numbers.
class Solver {
 public:
  Solver(const Form& f, const Rules& rules, Assignment start, const std::vector<bool>& fixed,
         bool with_result, const Rng& rng)
      : f_(f), seen_(rules.seen), numbers_(std::move(start)), fixed_(fixed), dice_(rng) {
    rules_ = rules.rules;
    if (with_result) rules_.insert(rules_.end(), rules.result.begin(), rules.result.end());
    fixed_.resize(numbers_.size(), true);
  }

  std::optional<Assignment> run() {
    for (size_t i = 0; i < seen_.size(); ++i)
      if (!fixed_[i]) numbers_[i] = std::clamp(numbers_[i], seen_[i].first, seen_[i].second);
    for (int step = 0; step < kMostRepairs; ++step) {
      std::vector<const Rule*> broken;
      for (const Rule& r : rules_)
        if (!holds(r, numbers_)) broken.push_back(&r);
      if (broken.empty()) return numbers_;
      if (!mend(*dice_.pick(broken))) return std::nullopt;
    }
    return std::nullopt;
  }

 private:
  /// False where nothing in the rule may change.
  bool mend(const Rule& r) {
    std::vector<size_t> free;
    for (int s : {r.left.a, r.left.b, r.right.a, r.right.b})
      if (s >= 0 && !fixed_[size_t(s)]) free.push_back(size_t(s));
    if (free.empty()) return false;
    const size_t i = dice_.pick(free);
    const int64_t before = numbers_[i];
    // Fixed numbers may be larger than what was tried out, and what follows from them too.
    int64_t most = 16;
    for (int64_t n : numbers_) most = std::max(most, n + 4);
    const bool extent = is_extent(f_, i);
    const int64_t least = extent ? std::min<int64_t>(1, seen_[i].first) : seen_[i].first;
    if (!extent) most = seen_[i].second;
    std::vector<int64_t> fitting;
    for (int64_t n = least; n <= most; ++n) {
      numbers_[i] = n;
      if (holds(r, numbers_)) fitting.push_back(n);
    }
    numbers_[i] = fitting.empty() ? before : dice_.pick(fitting);
    return true;
  }

  const Form& f_;
  const std::vector<std::pair<int64_t, int64_t>>& seen_;
  std::vector<Rule> rules_;
  Assignment numbers_;
  std::vector<bool> fixed_;
  Dice dice_;
};

}  // namespace

std::optional<Assignment> solved(const Form& f, const Rules& rules, Assignment start,
                                 const std::vector<bool>& fixed, bool with_result, const Rng& rng) {
  return Solver(f, rules, std::move(start), fixed, with_result, rng).run();
}

}  // namespace espalier::fuzz
