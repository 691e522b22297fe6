#include "fuzz/campaign.h"

#include <cctype>
#include <set>

#include "fuzz/mutate.h"
#include "fuzz/reduce.h"

namespace espalier::fuzz {
namespace {

/// The pool's oldest cases go first.
constexpr size_t kMostKept = 512;
/// Of the cases taken from a pool that has any, the rest being grown.
constexpr double kMutated = 0.5;

/// What tells two findings of one defect from two defects, as far as messages do.
std::string signature(const Finding& f) {
  std::string text = f.oracle + ": ";
  bool quoted = false;
  for (char ch : f.found) {
    if (ch == '\'') quoted = !quoted;
    if (!quoted && (std::isalpha(static_cast<unsigned char>(ch)) || ch == ' ')) text += ch;
  }
  return text;
}

class Campaign {
 public:
  Campaign(Library& library, const CampaignOptions& options) : o_(options), generator_(library) {}

  CampaignResult run() {
    for (int64_t i = 0; o_.graphs == 0 || i < o_.graphs; ++i) {
      if (o_.stop && o_.stop()) break;
      Dice dice(Rng(o_.seed, stream_of("fuzz")).fork(uint64_t(i)));
      const Case c = next(dice);
      if (o_.before) o_.before(c);
      one(c, i);
    }
    result_.pool = pool_.size();
    result_.events = seen_.size();
    return std::move(result_);
  }

 private:
  Case next(Dice& dice) {
    if (pool_.empty() || !(o_.mutate_graphs || o_.mutate_passes) || !dice.chance(kMutated))
      return grown(dice);
    Case c = dice.pick(pool_);
    c.seed = dice.below(1u << 30);
    const bool passes = o_.mutate_passes && o_.passes.empty();
    const bool both = passes && o_.mutate_graphs;
    if (passes && (!both || dice.chance(0.5)))
      for (size_t k = 0, n = 1 + dice.below(3); k < n; ++k) mutate_passes(c.passes, dice);
    if (o_.mutate_graphs && (!both || dice.chance(0.7)))
      mutate_graph(c, dice.pick(pool_), generator_, o_.grow, dice, result_.growth);
    // Another seed may have given it other values.
    std::vector<std::string>& broken = result_.growth.broken;
    return is_fit(c, broken) ? c : grown(dice);
  }

  Case grown(Dice& dice) {
    Case c = generator_.grow(o_.grow, dice.fork(), result_.growth);
    if (!o_.passes.empty()) c.passes = o_.passes;
    return c;
  }

  void one(const Case& c, int64_t i) {
    CheckOptions options;
    options.onnx = o_.onnx_every > 0 && i % o_.onnx_every == 0;
    const Outcome outcome = check(c, o_.subject, options);
    ++result_.graphs;
    result_.nodes += int64_t(c.graph.order().size());
    result_.skipped += !outcome.skipped.empty();
    const bool fresh = outcome.events.any_new(seen_);
    seen_.merge(outcome.events);
    if (outcome.finding) {
      find(c, *outcome.finding, options, i);
    } else if (outcome.skipped.empty() && (o_.guided ? fresh : i % 4 == 0)) {
      if (pool_.size() == kMostKept) pool_.erase(pool_.begin());
      pool_.push_back(c);
    }
    if (o_.after) o_.after(c, outcome);
  }

  void find(const Case& c, const Finding& finding, const CheckOptions& options, int64_t i) {
    if (!known_.insert(signature(finding)).second) return;
    Found f{finding, c, c, i};
    if (o_.reduction > 0) {
      const auto still = [&](const Case& smaller) {
        return finds_again(smaller, finding, o_.subject, options);
      };
      f.reduced = reduced(c, still, o_.reduction).smallest;
    }
    result_.found.push_back(std::move(f));
  }

  const CampaignOptions& o_;
  Generator generator_;
  std::vector<Case> pool_;
  Events seen_;
  std::set<std::string> known_;
  CampaignResult result_;
};

}  // namespace

CampaignResult run_campaign(Library& library, const CampaignOptions& options) {
  return Campaign(library, options).run();
}

}  // namespace espalier::fuzz
