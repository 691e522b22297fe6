// Optimisers on the same network, data, order, schedule and number of steps, each at the best of
// its own rates: what reproductions of optimisers compare.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "recipe/recipe.h"
#include "reproduce/reproduce.h"
#include "train/update_program.h"

namespace espalier {

class Journal;

/// One training.
struct RacedRun {
  double rate = 0;
  uint64_t seed = 0;
  bool diverged = false;
  std::vector<double> val_loss;  ///< after each epoch
  double test_loss = 0;
  double step_ms = 0;  ///< the median, over stretches of steps, of their means
  int64_t state_bytes = 0;

  /// The last validation loss; infinite where it diverged.
  double last() const;
  /// Steps until the validation loss falls to `loss` for the first time, between evaluations by a
  /// line; infinite where it does not.
  double steps_to(double loss, int64_t epoch_steps) const;
};

struct Contender {
  std::string name;
  Optimizer optimizer;
  std::vector<double> rates;
  std::optional<UpdateProgram> program = {};  ///< in the optimiser's place
  std::optional<Float8Groups> saved_activations = {};
};

/// Keys `name`, `optimizer`, `rates`, `saved_activations`. UserError at the line of what cannot be.
Contender read_contender(const Yaml& part);

struct RacedContender {
  Contender contender;
  std::vector<RacedRun> tuning;  ///< the first seed at each rate
  std::vector<RacedRun> runs;    ///< each seed at the best of them

  double rate() const { return runs.front().rate; }
  double mean_val_loss() const;
  double mean_test_loss() const;
  double mean_step_ms() const;
  int64_t state_bytes() const { return runs.front().state_bytes; }
  /// The best rate is the first or last that was tried, where there are several.
  bool at_edge() const;
};

struct Race {
  std::vector<RacedContender> contenders;
  int64_t steps = 0, epoch_steps = 0;
  std::vector<std::string> data;  ///< what was trained and tested on

  /// UserError (bad input) naming those there are.
  const RacedContender& find(const std::string& name) const;
};

/// Bytes of a step beside the parameters.
struct StepBytes {
  int64_t states = 0;  ///< of the optimiser
  int64_t saved = 0;   ///< of activations, as they wait for the backward pass
  int64_t arena = 0;   ///< of activations, gradients and scratch memory, as planned
};

/// Reads the keys `model`, `data`, `training`, `seeds`, `contenders` (as
/// read_contender has them) and trains. The first seed is that of `options`. Runs that are done are
/// kept in the cache folder until they are forgotten, so that an interrupted race goes on where it
/// stopped. The rate is chosen by the last validation loss of the first seed; the test split is
/// read once a run.
class OptimizerRace {
 public:
  /// `batch`, where it is not 0, takes the place of the recipe's. UserError at the line of what
  /// cannot be, before anything is trained.
  OptimizerRace(Fields& recipe, const MeasureOptions& options, int64_t batch = 0);
  ~OptimizerRace();
  /// UserError at `contenders` unless there is one of each name.
  void require(const std::vector<std::string>& names) const;
  Race run();
  /// One contender more: at each rate with the first seed, then at the best with all.
  RacedContender run(const Contender& contender);
  /// The first half of that.
  RacedContender tuned(const Contender& contender);
  /// What a step of the contender takes in that precision; nothing is trained.
  StepBytes bytes(const Contender& contender, DType precision) const;
  /// What `compute` gives, a number, or gave before an interruption.
  double once(const std::string& key, const std::function<double()>& compute);
  /// Removes what is kept.
  void forget();

  const TrainOptions& training() const { return training_; }
  std::shared_ptr<const Dataset> train_split() const { return train_; }
  std::shared_ptr<const Dataset> val_split() const { return val_; }

 private:
  TrainOptions options(const Contender& contender, double rate, uint64_t seed) const;
  RacedRun train(const Contender& contender, double rate, uint64_t seed) const;
  RacedRun run_once(const Contender& contender, double rate, uint64_t seed);
  Journal& journal();

  const Yaml& list_;
  ModelPart model_;
  DataSpec data_;
  TrainOptions training_;
  int64_t seeds_;
  uint64_t first_seed_;
  std::vector<Contender> contenders_;
  std::string asked_;  ///< all of it as text
  std::shared_ptr<const Dataset> train_, val_, test_;
  std::filesystem::path folder_;
  std::unique_ptr<Journal> journal_;
};

/// "NAME_rate", "NAME_rate_at_edge", "NAME_val_loss", "NAME_test_loss", "NAME_test_loss_spread",
/// "NAME_step_ms" and "NAME_state_bytes" of one contender, each behind `prefix`.
void report(const RacedContender& contender, nlohmann::ordered_json& into,
            const std::string& prefix = "");

}  // namespace espalier
