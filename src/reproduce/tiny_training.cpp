// Tiny Training Engine (Lin et al. 2022): an 8-bit network that learned one thing adapts to another
// as exported C, inside an arena of fixed size, beside training everything in f32, the same step
// without scaled gradients, and the last layer alone.
#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/log.h"
#include "compress/quantize.h"
#include "data/source.h"
#include "reproduce/device_training.h"
#include "reproduce/reproduce.h"
#include "reproduce/transfer.h"
#include "reproduce/tuning_tally.h"
#include "train/integer_training.h"

namespace espalier {
namespace {

std::vector<double> read_rates(const Yaml& part) {
  std::vector<double> rates;
  for (const Yaml& r : part.items()) rates.push_back(r.number());
  if (rates.empty()) part.fail("names no rate");
  return rates;
}

/// The network as it is deployed: batch norms folded, 8-bit, ranges from what it learned first.
struct Deployed {
  Graph floats, integers;
  std::vector<IntegerLayer> layers;
};

Deployed deployed(const Graph& network, const Dataset& seen, int64_t samples) {
  Deployed d;
  d.floats = prepared_for_quantization(network);
  Calibrator calibrator(d.floats, RangeMethod::kMinMax);
  for (const auto& inputs : calibration_batches(d.floats, seen, samples))
    calibrator.observe(inputs);
  d.integers = quantize(d.floats, calibrator.ranges());
  d.layers = integer_layers(d.integers);
  return d;
}

/// Of states on the device and here, beside the largest: below a step of an 8-bit weight.
constexpr double kMostDifference = 1e-3;

/// The device whose emulation the step has to pass, if any.
struct Emulation {
  std::string device;
  DeviceMemory memory;
  int64_t steps = 0;
};

std::optional<Emulation> read_emulation(Fields& recipe) {
  const Yaml* part = recipe.find("emulate");
  if (!part) return std::nullopt;
  Fields fields(*part, "emulate");
  Emulation e;
  const std::vector<std::string> known = EmulatedC::devices();
  fields.require("device");
  e.device = known[fields.choice("device", 0, known)];
  e.memory.flash = size_t(fields.integer("flash_bytes", int64_t(e.memory.flash), 1024));
  e.memory.ram = size_t(fields.integer("ram_bytes", int64_t(e.memory.ram), 1024));
  e.steps = fields.integer("steps", 100, 1);
  fields.done();
  return e;
}

/// One way to train on the device: which parameters, and whether gradients are scaled.
struct Contender {
  std::string name;
  std::set<std::string> parameters;
  bool scaling = true;
  std::vector<double> rates;
  double rate = 0;
  Tally accuracy;
};

class Race {
 public:
  Race(const Deployed& network, TuningTask& task) : network_(network), task_(task) {}

  StepOptions options(const std::set<std::string>& parameters) const {
    TrainOptions o = task_.training;
    o.trained = parameters;
    return step_options(o, *task_.train);
  }
  DeviceTraining device(const std::set<std::string>& parameters, bool scaling) const {
    IntegerTraining t = build_integer_step(network_.integers, options(parameters), scaling);
    return DeviceTraining(t.network, std::move(t.step));
  }

  /// Points of validation accuracy that each layer gains beside the last one, which learns too.
  std::vector<double> contributions(double rate, int64_t steps) {
    TrainOptions o = task_.training;
    o.epochs = 1;
    o.epoch_steps = steps;
    o.schedule.peak = rate;
    const auto reached = [&](const std::set<std::string>& parameters) {
      DeviceTraining d = device(parameters, true);
      return d.learn(task_.train, o) ? d.accuracy(*task_.val) : 0.0;
    };
    const double head = reached(network_.layers.back().parameters);
    std::vector<double> gains;
    for (const IntegerLayer& layer : network_.layers) {
      std::set<std::string> both = network_.layers.back().parameters;
      both.insert(layer.parameters.begin(), layer.parameters.end());
      gains.push_back(&layer == &network_.layers.back() ? 0 : reached(both) - head);
      log_info(layer.name + " contributes " + std::to_string(gains.back()) + " points");
    }
    return gains;
  }

  /// The best of the contender's rates by validation accuracy, then as many seeds.
  void run(Contender& c, int64_t seeds) {
    const uint64_t seed = task_.training.seed;
    DeviceTraining d = device(c.parameters, c.scaling);
    TrainOptions o = task_.training;
    double best = -1;
    o.seed = seed + 1000;
    for (double rate : c.rates) {
      o.schedule.peak = rate;
      const double reached = d.learn(task_.train, o) ? d.accuracy(*task_.val) : 0;
      log_info(c.name + " at " + std::to_string(rate) + ": " + std::to_string(reached) + " %");
      if (reached > best) {
        best = reached;
        c.rate = rate;
      }
    }
    o.schedule.peak = c.rate;
    for (int64_t s = 0; s < seeds; ++s) {
      o.seed = seed + uint64_t(s);
      c.accuracy.add(d.learn(task_.train, o) ? d.accuracy(*task_.test) : 0);
    }
  }

 private:
  const Deployed& network_;
  TuningTask& task_;
};

}  // namespace

Findings measure_tiny_training(Fields& recipe, const MeasureOptions& options) {
  const Transfer transfer = read_transfer(recipe);
  const auto budget = size_t(recipe.integer("arena_bytes", 256 * 1024, 1));
  const int64_t seeds = recipe.integer("seeds", 3, 2, 100);
  const int64_t calibration = recipe.integer("calibration_samples", 256, 1);
  const int64_t weigh_steps = recipe.integer("weigh_steps", 200, 1);
  const double weigh_rate = recipe.number("weigh_rate", 0.01, 0);
  const double points = recipe.number("most_points_lost", 1, 0, 100);
  const std::vector<double> rates = read_rates(recipe.require("rates"));
  const std::vector<double> unscaled_rates = read_rates(recipe.require("unscaled_rates"));
  const std::vector<double> whole_rates = read_rates(recipe.require("whole_rates"));
  const Optimizer whole = read_optimizer(recipe.require("whole_optimizer"), {});
  const std::optional<Emulation> emulation = read_emulation(recipe);
  recipe.done();

  TransferStart start = started(transfer, options.seed);
  TuningTask& task = start.task;
  const Deployed network =
      deployed(task.network, *DataSource(transfer.first_data).split(Split::train), calibration);
  Race race(network, task);
  // Whether anything fits is told before the layers are tried.
  choose_layers(network.integers, race.options({}), network.layers,
                std::vector<double>(network.layers.size(), 0), budget);
  const std::vector<double> gains = race.contributions(weigh_rate, weigh_steps);
  const ChosenLayers chosen =
      choose_layers(network.integers, race.options({}), network.layers, gains, budget);
  Contender all[] = {{"scaled", chosen.parameters, true, rates, 0, {}},
                     {"unscaled", chosen.parameters, false, unscaled_rates, 0, {}},
                     {"head", network.layers.back().parameters, true, rates, 0, {}}};
  for (Contender& c : all) race.run(c, seeds);
  const Contender &ours = all[0], &unscaled = all[1], &head = all[2];

  // Everything in f32, with the optimiser that suits it, on this machine.
  TuningTask floats = task;
  floats.network = network.floats;
  floats.training.optimizer = whole;
  const TuningMethod full = parse_tuning_method("full");
  floats.training.seed = options.seed + 1000;
  const double full_rate = tuned_at_best(floats, full, whole_rates).rate;
  Tally of_full;
  for (int64_t s = 0; s < seeds; ++s) {
    floats.training.seed = options.seed + uint64_t(s);
    of_full.add(100 * tuned(floats, full, full_rate).tested.accuracy);
  }
  CFile in_c("whole");
  const CTraining whole_in_c =
      add_training(in_c, network.floats,
                   build_training_step(network.floats, step_options(floats.training, *task.train)));

  DeviceTraining device = race.device(chosen.parameters, true);
  const size_t touched = device.touched_bytes(*task.train, task.training.batch);
  const size_t arena = device.file().arena_bytes();
  int64_t elements = 0;
  for (const IntegerLayer& layer : network.layers) elements += layer.elements;
  std::string names;
  for (size_t i : chosen.layers) names += (names.empty() ? "" : ", ") + network.layers[i].name;
  std::string gained;
  for (size_t i = 0; i + 1 < gains.size(); ++i)
    gained += (i ? ", " : "") + std::to_string(gains[i]).substr(0, 5);
  const Tally over_unscaled = paired(ours.accuracy, unscaled.accuracy);
  const Tally over_head = paired(ours.accuracy, head.accuracy);
  const double lost = of_full.mean() - ours.accuracy.mean();

  Findings f;
  f.measured = {{"accuracy", ours.accuracy.mean()},
                {"standard_error", ours.accuracy.error()},
                {"arena_bytes", arena},
                {"touched_bytes", touched},
                {"state_bytes", device.file().state_bytes()},
                {"constant_bytes", device.file().weight_bytes()},
                {"layers", names},
                {"contributions", gained},
                {"trained", device.training().trained},
                {"trained_percent", 100.0 * double(device.training().trained) /
                                        double(std::max<int64_t>(1, elements))},
                {"rate", ours.rate},
                {"points_below_f32", lost},
                {"points_over_unscaled", over_unscaled.mean()},
                {"points_over_head", over_head.mean()},
                {"seeds", seeds}};
  f.baseline = {{"accuracy", of_full.mean()},
                {"standard_error", of_full.error()},
                {"arena_bytes", in_c.arena_bytes()},
                {"trained", whole_in_c.trained},
                {"rate", full_rate},
                {"first_accuracy", 100 * start.first.accuracy},
                {"accuracy_before",
                 100 * evaluate(network.integers, *task.test, task.training.loss).accuracy},
                {"accuracy_unscaled", unscaled.accuracy.mean()},
                {"rate_unscaled", unscaled.rate},
                {"accuracy_head", head.accuracy.mean()},
                {"rate_head", head.rate}};
  f.holds = arena <= budget && touched == arena && lost <= points &&
            over_unscaled.mean() > over_unscaled.error() && over_head.mean() > over_head.error();
  if (emulation) {
    TrainOptions o = task.training;
    o.seed = options.seed;
    o.schedule.peak = ours.rate;
    const DeviceProof proof = device.emulated(emulation->device, emulation->memory,
                                              emulation->steps, task.train, o, *task.test);
    f.measured.update({{"device", emulation->device},
                       {"device_steps", proof.steps},
                       {"device_flash_bytes", proof.flash_bytes},
                       {"device_ram_bytes", proof.static_bytes + proof.stack_bytes},
                       {"device_stack_bytes", proof.stack_bytes},
                       {"device_touched_bytes", proof.touched_bytes},
                       {"device_million_instructions_per_step", proof.instructions / 1e6},
                       {"device_difference", proof.difference},
                       {"device_accuracy", proof.accuracy}});
    f.holds = f.holds && proof.touched_bytes == arena && proof.difference <= kMostDifference;
  }
  return f;
}

}  // namespace espalier
