// What a fit measured: the one record behind summary.json, report.html and the table on the
// terminal.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace espalier {

/// One network, measured. Accuracy is top-1 in percent on `samples` of the named split.
struct Measured {
  double accuracy = 0;
  double macs = 0;
  double params = 0;
  double weight_bytes = 0;
  double latency_ms = 0;  ///< median of alternating rounds
  double p10_ms = 0, p90_ms = 0;
};

/// The limits asked for; absent ones do not limit.
struct Budget {
  std::optional<double> latency_ms;
  std::optional<double> weight_bytes;
  std::optional<double> macs_fraction;  ///< of the input's MACs
  std::optional<double> memory_bytes;   ///< peak activations
  std::optional<double> drop;           ///< points of accuracy on the validation split
};

struct FitCandidate {
  std::string name;  ///< "cut, int8 (percentile)"
  bool cut = false;
  std::string precision;  ///< f32, bf16, int8
  Measured measured;      ///< accuracy on the validation split
  double memory_bytes = 0;
  double speedup = 1;  ///< baseline latency over this one's, medians of the same alternating rounds
  bool slower = false;  ///< by the design's definition, against the baseline
  bool meets = false;
  bool pareto = false;
  std::string why_not;  ///< the first budget term it misses, or that it is slower
  double excess = 0;    ///< see BudgetMiss
};

struct FitLayer {
  std::string name, op;
  double macs_before = 0, macs_after = 0;
  int64_t channels_before = 0, channels_after = 0;
  double ms_before = 0, ms_after = 0;
  std::string precision;
};

struct FitCurvePoint {
  std::string phase;  ///< "train", "prune"
  double epoch = 0;
  double train_loss = 0;
  double validation_accuracy = 0;  ///< percent
};

struct FitSummary {
  std::string model, data, machine, command, version;
  std::string test_split = "test", validation_split = "val";
  int64_t test_samples = 0, validation_samples = 0;
  int threads = 1;
  int64_t batch = 1;
  uint64_t seed = 0;
  double seconds = 0;
  Budget budget;
  bool met = false;
  std::string chosen;         ///< name of the candidate returned
  Measured baseline, result;  ///< accuracy on the test split, used once
  double speedup = 1;
  std::vector<FitCandidate> candidates;  ///< the first is the baseline
  std::vector<FitLayer> layers;
  std::vector<FitCurvePoint> curves;
  std::vector<std::string> notes;  ///< refusals and fallbacks, in words
};

/// One JSON object; the keys baseline, result, budget and met are a stable contract.
std::string to_json(const FitSummary& summary);
/// A self-contained page: no scripts, no outside resources, legible on a phone and in dark mode.
std::string to_html(const FitSummary& summary);
/// Before and after, for a terminal.
std::string to_table(const FitSummary& summary);

/// "latency=1.5ms,size=200kB,macs=50%,memory=4MB,drop=1.0". Throws UserError(usage) naming the
/// term.
Budget parse_budget(const std::string& text);
std::string to_string(const Budget& budget);
struct BudgetMiss {
  std::string what;   ///< the first term that is missed, in words
  double excess = 0;  ///< by the worst term: 0.5 is one and a half times what is allowed
};
/// Nothing when `measured` meets the budget. `input_macs` and `baseline_accuracy` give the relative
/// terms their meaning.
std::optional<BudgetMiss> missed(const Budget& budget, const Measured& measured,
                                 double memory_bytes, double input_macs, double baseline_accuracy);

}  // namespace espalier
