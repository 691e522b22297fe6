// How long a region will take on this machine, learned from what regions took: a ridge and boosted
// trees on the logarithm of time, over features of the graph alone (Das and Mannarswamy, "ML-driven
// hardware cost model for MLIR", 2023, whose idea it is to predict before lowering).
#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cost/learner.h"
#include "cost/tables.h"

namespace espalier {

/// The time that peaks allow: work at the machine's rate for the type, or traffic at the rate of
/// the cache its bytes fit, whichever takes longer, and one dispatch.
double roofline_ms(const RegionFacts& facts, const MachinePeaks& peaks, int threads);

/// Which of five equal parts of all regions a region belongs to: a function of its signature, so
/// that equal regions are never on both sides of a split. Part 0 is held out.
int part_of(const RegionFacts& facts);

struct CostModelOptions {
  double ridge = 1e-3;
  BoostOptions trees;
};

class CostModel {
 public:
  /// Rows without a time are used as what they say: such operators need not run. UserError when
  /// fewer than kLeastRows have one, or the tables have no peaks.
  static CostModel fit(const CostTables& tables, std::span<const RegionRow> rows,
                       const CostModelOptions& options = {});

  /// Predicted milliseconds of one execution.
  double predict_ms(const RegionFacts& facts) const;
  /// Of one node of a graph whose types are static, as passes see it: 0 where it is computed
  /// beforehand. UserError where a room refuses its cost.
  double predict_ms(const Graph& graph, NodeId node) const;
  /// The sum over all nodes; a graph that passes have fused is meant.
  double predict_ms(const Graph& graph) const;

  const MachineId& machine() const { return machine_; }
  const MachinePeaks& peaks() const { return peaks_; }
  /// Rows with a time that it was fitted to.
  size_t rows() const { return rows_; }

  std::string text() const;
  /// UserError naming `where` when damaged, of another version, or of another machine.
  static CostModel parse(std::string_view text, const std::string& where, const MachineId& here);

  /// Rows with a time that a model needs.
  static constexpr size_t kLeastRows = 20;

 private:
  std::vector<double> features(const RegionFacts& facts) const;

  MachineId machine_;
  MachinePeaks peaks_;
  size_t rows_ = 0;
  /// Kinds and operators that have a feature of their own: "kind:Conv", "Relu".
  std::vector<std::string> words_;
  /// Operators (RegionFacts::operators) that never needed to run.
  std::set<std::string> free_;
  double least_ms_ = 0, most_ms_ = 0;  ///< of the rows; predictions stay within twice that span
  RidgeRegression ridge_;
  BoostedTrees trees_;
};

/// For baselines: milliseconds from one number, by the better of two laws on the training rows, a
/// line (a + b x) and a power (a x^b), both fitted to relative errors.
class ScaledBaseline {
 public:
  ScaledBaseline(std::span<const double> x, std::span<const double> ms);
  double predict_ms(double x) const;

 private:
  bool power_ = false;
  double a_ = 0, b_ = 0;
};

struct PredictionScore {
  double mape = 0;     ///< mean relative error, a fraction
  double kendall = 0;  ///< tau-b
};

/// Predictions of the held-out regions, by models that saw the others only.
struct CostEvaluation {
  size_t training = 0, held_out = 0;
  PredictionScore learned, roofline, macs;
};
/// Nothing when there are too few rows on either side.
std::optional<CostEvaluation> evaluate_cost_model(const CostTables& tables,
                                                  const CostModelOptions& options = {});

/// The model stored beside the tables at `path`; UserError as of load_tables and parse.
CostModel load_cost_model(const std::filesystem::path& tables, const MachineId& here);
void save_cost_model(const CostModel& model, const std::filesystem::path& tables);

}  // namespace espalier
