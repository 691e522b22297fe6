#include "runtime/calibrate.h"

#include <chrono>
#include <system_error>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/progress.h"
#include "runtime/machine.h"
#include "runtime/measure_regions.h"
#include "runtime/peaks.h"
#include "runtime/region_sampler.h"

namespace espalier {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kSaveSeconds = 3;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// What an earlier call left, or nothing yet.
CostTables begun(const CalibrateOptions& options) {
  CostTables fresh;
  fresh.machine = machine_id(options.threads);
  fresh.seed = options.seed;
  std::error_code ignored;
  if (options.overwrite || !std::filesystem::exists(options.file, ignored)) return fresh;
  CostTables tables = load_tables(options.file, fresh.machine);
  if (tables.seed != options.seed)
    throw bad_input(options.file.string(),
                    "was begun with seed " + std::to_string(tables.seed) + ", not " +
                        std::to_string(options.seed),
                    "give --seed " + std::to_string(tables.seed) + ", or --overwrite");
  return tables;
}

class Calibrator {
 public:
  explicit Calibrator(const CalibrateOptions& options)
      : options_(options), tables_(begun(options)) {}

  Calibration run() {
    const std::vector<CalibrationNetwork> networks = all_networks();
    if (!tables_.peaks && !halted()) {
      log_info("measuring what the machine reaches");
      tables_.peaks = measure_peaks(options_.threads);
      save();
    }
    measure(networks);
    save();
    Calibration c{tables_, int64_t(networks.size()), 0, options_.stop()};
    for (const CalibrationNetwork& n : networks) c.done += tables_.done.contains(n.name) ? 1 : 0;
    return c;
  }

 private:
  std::vector<CalibrationNetwork> all_networks() const {
    std::vector<CalibrationNetwork> all = options_.networks;
    for (int64_t i = 0; i < options_.samples; ++i)
      all.push_back({"sample " + std::to_string(i),
                     [seed = options_.seed, i] { return sampled_network(seed, uint64_t(i)); },
                     /*fused=*/i % 4 != 3});
    return all;
  }

  bool halted() const {
    return options_.stop() || (options_.seconds > 0 && seconds_since(start_) > options_.seconds);
  }

  void measure(const std::vector<CalibrationNetwork>& networks) {
    std::vector<const CalibrationNetwork*> missing;
    for (const CalibrationNetwork& n : networks)
      if (!tables_.done.contains(n.name)) missing.push_back(&n);
    if (missing.empty()) return;
    Progress progress("calibrating", int64_t(missing.size()), "networks");
    auto saved = Clock::now();
    for (const CalibrationNetwork* n : missing) {
      if (halted()) return;
      measure(*n);
      progress.advance();
      if (seconds_since(saved) < kSaveSeconds) continue;
      save();
      saved = Clock::now();
    }
  }

  void measure(const CalibrationNetwork& network) {
    try {
      RegionTimingOptions measuring{.threads = options_.threads,
                                    .seconds = options_.seconds_per_network,
                                    .seed = options_.seed};
      if (!network.fused) measuring.disabled_passes = fusing_passes();
      auto rows = measure_regions(network.make(), network.name, measuring);
      for (RegionRow& row : rows) tables_.rows.push_back(std::move(row));
    } catch (const UserError& e) {
      log_warning("'" + network.name + "' is left out: " + e.what());
    }
    tables_.done.insert(network.name);
  }

  void save() const { save_tables(tables_, options_.file); }

  const CalibrateOptions& options_;
  const Clock::time_point start_ = Clock::now();
  CostTables tables_;
};

}  // namespace

std::vector<std::string> fusing_passes() { return {"fuse_epilogue", "fuse_pointwise"}; }

Calibration calibrate(const CalibrateOptions& options) {
  ESP_CHECK(!options.file.empty(), "tables need a file");
  return Calibrator(options).run();
}

std::optional<CostModel> machine_cost_model(int threads) {
  const MachineId here = machine_id(threads);
  const std::filesystem::path tables = tables_path(here);
  std::error_code ignored;
  if (tables.empty() || !std::filesystem::exists(model_path(tables), ignored)) return std::nullopt;
  try {
    return load_cost_model(tables, here);
  } catch (const UserError& e) {
    log_warning(std::string(e.what()) + "; times are not predicted");
    return std::nullopt;
  }
}

double predicted_ms(const CostModel& model, const Graph& graph) {
  CompileOptions options;
  options.threads = model.machine().threads;
  double ms = model.predict_ms(prepared(graph, options));
  // Reorders belong to no node; they move what they move at the pace of memory.
  const MachinePeaks& p = model.peaks();
  const double rate = options.threads > 1 ? p.memory_gbs : p.memory_gbs_thread;
  const auto program = compile(graph, options);
  for (const InstructionInfo& i : program->instructions())
    if (i.origin == kNoNode) ms += p.dispatch_us / 1e3 + (rate > 0 ? i.bytes / rate / 1e6 : 0);
  return ms;
}

}  // namespace espalier
