#include "compress/v_cycle.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "base/error.h"
#include "base/files.h"
#include "base/rng.h"
#include "ir/count.h"
#include "ir/derive.h"

namespace espalier {
namespace {

using Tensors = Coarsening::Tensors;

/// A size of the network where it stands.
struct Level {
  Graph network;
  Tensors values;                  ///< parameters and statistics
  std::map<int, Tensors> moments;  ///< by the power of the gradient they follow
};

double median(std::vector<float> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + int64_t(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

/// Tensors by state ("PARAMETER:suffix") as `map` makes tensors by parameter of them.
template <class F>
Tensors of_moments(const Tensors& states, F map) {
  std::map<std::string, Tensors> by_suffix;
  for (const auto& [name, t] : states) {
    const size_t colon = name.rfind(':');
    by_suffix[name.substr(colon)][name.substr(0, colon)] = t;
  }
  Tensors mapped;
  for (const auto& [suffix, tensors] : by_suffix)
    for (auto& [name, t] : map(tensors)) mapped[name + suffix] = t;
  return mapped;
}

}  // namespace

struct VCycleTrainer::Impl {
  std::shared_ptr<const Dataset> train_data, val_data;
  TrainOptions options;
  VCycle cycle;
  std::map<std::string, int> degrees;   ///< of moments that are carried, by suffix
  std::vector<Coarsening> coarsenings;  ///< of each level, to the next
  std::vector<Level> levels;
  CycleFiles files;
  CycledNetwork result;

  /// On the way down the rate rises to its peak and stays.
  Schedule down() const {
    Schedule s = options.schedule;
    s.kind = Schedule::Kind::kConstant;
    s.warmup = std::min(s.warmup, double(cycle.first));
    return s;
  }
  Schedule up() const { return last_options(options).schedule; }

  CycledNetwork run() {
    result = {};
    const size_t bottom = levels.size() - 1;
    for (size_t k = 0; k < bottom; ++k) {
      if (!train(k, cycle.first, down())) return std::move(result);
      coalesce(k);
    }
    if (!train(bottom, cycle.small, up())) return std::move(result);
    for (size_t k = bottom; k-- > 0;) {
      decoalesce(k);
      if (k > 0 && !train(k, cycle.small, up())) return std::move(result);
    }
    result.finished = true;
    result.states = levels[0].values;
    for (const auto& [degree, moments] : levels[0].moments)
      result.states.insert(moments.begin(), moments.end());
    if (!cycle.carry) result.steps = 0;
    return std::move(result);
  }

  void coalesce(size_t k) {
    const Coarsening& c = coarsenings[k];
    const Level& large = levels[k];
    Level& small = levels[k + 1];
    small.network = with_values(small.network, c.coalesced(constant_values(large.network)));
    for (const auto& [degree, moments] : large.moments)
      small.moments[degree] =
          of_moments(moments, [&, d = degree](const Tensors& t) { return c.coalesced(t, d); });
  }

  void decoalesce(size_t k) {
    const Coarsening& c = coarsenings[k];
    Level& large = levels[k];
    const Level& small = levels[k + 1];
    large.values = interpolated(large.values, c.decoalesced(small.values), cycle.alpha);
    large.network = with_values(large.network, large.values);
    for (auto& [degree, moments] : large.moments) {
      const Tensors spread =
          of_moments(small.moments.at(degree),
                     [&, d = degree](const Tensors& t) { return c.decoalesced(t, d); });
      moments = interpolated(moments, spread, cycle.alpha);
    }
  }

  /// Trains a level from where it stands; false when stopped.
  bool train(size_t k, int64_t epochs, const Schedule& schedule) {
    Level& level = levels[k];
    const size_t number = result.stretches.size();
    TrainOptions o = options;
    o.epochs = epochs;
    o.schedule = schedule;
    if (k > 0) o.schedule.peak *= cycle.rate;
    o.seed = Rng(options.seed, stream_of("v_cycle")).bits(number) >> 1;
    o.name += ", size " + std::to_string(k + 1);
    TrainFiles kept;
    if (!files.folder.empty()) {
      const std::filesystem::path own = files.folder / std::to_string(number);
      make_folder(own);
      kept = {own / "checkpoints", own / "log.jsonl"};
    }
    CarriedStates carried;
    Trainer trainer(level.network, train_data, val_data, o, kept, {&carried});
    Tensors moments;
    for (const auto& [degree, states] : level.moments) moments.insert(states.begin(), states.end());
    carried.give(moments, moments.empty() ? 0 : result.steps);
    if (files.resume && !files.folder.empty()) trainer.resume(files.any_threads);
    const TrainResult trained = trainer.train();
    CycleStretch stretch;
    stretch.level = int64_t(k);
    stretch.parameters = parameter_count(level.network);
    stretch.step_macs = macs_of_step(trainer.step_graph());
    stretch.step_ms = median(trainer.step_ms());
    stretch.history = trained.history;
    result.stretches.push_back(stretch);
    result.steps += trainer.steps_done();
    if (!trained.finished) return false;
    take(level, trainer);
    return true;
  }

  void take(Level& level, const Trainer& trainer) const {
    for (const std::string& name : trainer.state_names()) {
      const ValueId v = level.network.find(name);
      if (v != kNoValue && level.network.is_constant(v)) {
        level.values[name] = trainer.state(name);
        continue;
      }
      const size_t colon = name.rfind(':');
      if (colon == std::string::npos) continue;
      if (const auto d = degrees.find(name.substr(colon + 1)); d != degrees.end())
        level.moments[d->second][name] = trainer.state(name);
    }
    level.network = with_values(level.network, level.values);
  }
};

VCycleTrainer::VCycleTrainer(const Graph& network, std::shared_ptr<const Dataset> train,
                             std::shared_ptr<const Dataset> val, TrainOptions options, VCycle cycle)
    : impl_(std::make_unique<Impl>()) {
  Impl& m = *impl_;
  cycle.check("the V-cycle");
  if (cycle.carry) {
    const auto degrees = moment_degrees(options.optimizer);
    if (!degrees)
      throw unsupported("optimizer '" + options.optimizer.kind + "'",
                        "has no moments that could go along with the V-cycle",
                        "let each size begin without them: moments: fresh");
    m.degrees = *degrees;
  }
  m.levels.push_back({network, {}, {}});
  for (int64_t k = 1; k < cycle.levels; ++k) {
    m.coarsenings.emplace_back(m.levels.back().network, cycle.merge);
    m.levels.push_back({m.coarsenings.back().small(), {}, {}});
  }
  m.train_data = std::move(train);
  m.val_data = std::move(val);
  m.options = std::move(options);
  m.cycle = std::move(cycle);
}

VCycleTrainer::~VCycleTrainer() = default;

CycledNetwork VCycleTrainer::train(const CycleFiles& files) {
  impl_->files = files;
  return impl_->run();
}

std::string VCycle::text() const {
  std::ostringstream out;
  out.precision(17);
  out << "levels=" << levels << ",width=" << merge.width << ",depth=" << merge.depth
      << ",first=" << first << ",small=" << small << ",rate=" << rate << ",alpha=" << alpha
      << ",moments=" << (carry ? "carried" : "fresh");
  for (const std::string& name : merge.whole) out << ",whole=" << name;
  return out.str();
}

void VCycle::check(const std::string& where) const {
  const auto refuse = [&](const char* what) { throw bad_input(where, what); };
  if (levels < 2) refuse("two levels are the least");
  if (merge.width < 1 || merge.depth < 1) refuse("nothing can be merged by less than 1");
  if (merge.width == 1 && merge.depth == 1) refuse("neither widths nor blocks are to be merged");
  if (first < 1 || small < 1) refuse("each size is trained for an epoch at least");
  if (!(rate > 0) || !std::isfinite(rate)) refuse("the rate must be positive");
  if (!(alpha >= 0 && alpha <= 1)) refuse("alpha must lie between 0 and 1");
}

TrainOptions last_options(TrainOptions options) {
  if (options.schedule.kind != Schedule::Kind::kOneCycle) options.schedule.warmup = 0;
  return options;
}

double macs_of_step(const StepGraph& step) {
  double macs = 0;
  for (NodeId id : step.graph.order()) macs += cost_of(step.graph, id).macs;
  return macs;
}

}  // namespace espalier
