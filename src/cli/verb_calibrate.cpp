// espalier calibrate: what this machine reaches, how long regions take on it, and the cost model
// learned from that.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/threads.h"
#include "cli/model_file.h"
#include "cli/output.h"
#include "cli/values.h"
#include "cli/verb.h"
#include "recipe/blueprint.h"
#include "runtime/calibrate.h"
#include "runtime/machine.h"
#include "runtime/peaks.h"
#include "train/stop.h"

namespace espalier::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct Args {
  std::vector<std::string> models;
  std::string file;
  double minutes = 10;
  int64_t samples = 1500;
  bool no_zoo = false, peaks = false, handover = false;
};

CalibrationNetwork network_of(const std::string& name, const std::string& path) {
  return {name, [path] {
            ModelOptions model;
            model.path = path;
            return model.load_static();
          }};
}

/// The definitions of the first folder that has any, by name.
std::vector<CalibrationNetwork> zoo_networks() {
  std::vector<CalibrationNetwork> networks;
  std::error_code ignored;
  for (const fs::path& folder : recipe_folders()) {
    for (const auto& entry : fs::directory_iterator(folder / "zoo", ignored))
      if (entry.path().extension() == ".yaml")
        networks.push_back(network_of(entry.path().stem().string(), entry.path().string()));
    if (!networks.empty()) break;
  }
  std::sort(networks.begin(), networks.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  return networks;
}

CalibrateOptions options_of(const Args& args, const Common& common) {
  CalibrateOptions o;
  o.threads = num_threads();
  o.file = args.file.empty() ? tables_path(machine_id(o.threads)) : fs::path(args.file);
  if (o.file.empty())
    throw bad_input("calibrate", "there is no cache folder to keep tables in",
                    "set ESPALIER_CACHE or HOME, or give -o");
  o.seed = common.seed.value_or(0);
  o.samples = args.samples;
  o.seconds = args.minutes * 60;
  o.overwrite = common.overwrite;
  if (!args.no_zoo) o.networks = zoo_networks();
  for (const std::string& path : args.models) {
    load_model(path);  // what cannot be read is said before anything is measured
    o.networks.push_back(network_of(path, path));
  }
  o.stop = stop_requested;
  return o;
}

Json score_json(const PredictionScore& s) { return {{"mape", s.mape}, {"kendall", s.kendall}}; }

Json evaluation_json(const std::optional<CostEvaluation>& e) {
  if (!e) return nullptr;
  return {{"training", e->training},
          {"held_out", e->held_out},
          {"learned", score_json(e->learned)},
          {"roofline", score_json(e->roofline)},
          {"macs", score_json(e->macs)}};
}

Json peaks_json(const MachinePeaks& p) {
  return {{"f32_gmacs_thread", p.f32_gmacs_thread},
          {"f32_gmacs", p.f32_gmacs},
          {"bf16_gmacs_thread", p.bf16_gmacs_thread},
          {"bf16_gmacs", p.bf16_gmacs},
          {"int8_gmacs_thread", p.int8_gmacs_thread},
          {"int8_gmacs", p.int8_gmacs},
          {"l1_gbs_thread", p.l1_gbs_thread},
          {"l2_gbs_thread", p.l2_gbs_thread},
          {"l3_gbs_thread", p.l3_gbs_thread},
          {"memory_gbs_thread", p.memory_gbs_thread},
          {"l1_gbs", p.l1_gbs},
          {"l2_gbs", p.l2_gbs},
          {"l3_gbs", p.l3_gbs},
          {"memory_gbs", p.memory_gbs},
          {"dispatch_us", p.dispatch_us},
          {"thread_start_us", p.thread_start_us}};
}

void print_peaks(const MachinePeaks& p, int threads) {
  Table table({"what", ">1 thread", ">" + std::to_string(threads) + " threads", "unit"});
  const auto row = [&](const char* what, double one, double all, const char* unit) {
    if (one > 0) table.row({what, short_number(one, 3), short_number(all, 3), unit});
  };
  row("f32", p.f32_gmacs_thread, p.f32_gmacs, "GMAC/s");
  row("bf16", p.bf16_gmacs_thread, p.bf16_gmacs, "GMAC/s");
  row("int8", p.int8_gmacs_thread, p.int8_gmacs, "GMAC/s");
  row("first cache", p.l1_gbs_thread, p.l1_gbs, "GB/s");
  row("second cache", p.l2_gbs_thread, p.l2_gbs, "GB/s");
  row("last cache", p.l3_gbs_thread, p.l3_gbs, "GB/s");
  row("memory", p.memory_gbs_thread, p.memory_gbs, "GB/s");
  table.print();
  std::printf("an instruction costs %s us to start, a parallel loop %s us\n\n",
              short_number(p.dispatch_us, 3).c_str(), short_number(p.thread_start_us, 3).c_str());
}

void print_evaluation(const CostEvaluation& e) {
  char percent[32];
  Table table({"predicts held-out regions", ">error", ">Kendall"});
  const auto row = [&](const char* what, const PredictionScore& s) {
    std::snprintf(percent, sizeof percent, "%.1f %%", 100 * s.mape);
    table.row({what, percent, short_number(s.kendall, 3)});
  };
  row("learned", e.learned);
  row("roofline", e.roofline);
  row("MACs", e.macs);
  table.print();
  std::printf("%zu regions held out, %zu learned from\n", e.held_out, e.training);
}

/// The model of all rows, beside the tables; none while there are too few.
bool store_model(const Calibration& c, const fs::path& file) {
  const auto timed = size_t(std::count_if(c.tables.rows.begin(), c.tables.rows.end(),
                                          [](const RegionRow& row) { return row.ms > 0; }));
  if (!c.tables.peaks || timed < CostModel::kLeastRows) return false;
  save_cost_model(CostModel::fit(c.tables, c.tables.rows), file);
  return true;
}

/// What is reached and what no kernel can exceed, measured now; no file is read or written.
ExitCode show_peaks(const Common& common) {
  const MachineId machine = machine_id(num_threads());
  const MachinePeaks peaks = measure_peaks(machine.threads);
  const InstructionLimits one = measure_limits(1), all = measure_limits(machine.threads);
  if (common.json) {
    print_json({{"machine", machine.text()},
                {"engine", machine.engine},
                {"threads", machine.threads},
                {"peaks", peaks_json(peaks)},
                {"limits",
                 {{"f32_gmacs_thread", one.f32_gmacs},
                  {"f32_gmacs", all.f32_gmacs},
                  {"bf16_gmacs_thread", one.bf16_gmacs},
                  {"bf16_gmacs", all.bf16_gmacs},
                  {"int8_gmacs_thread", one.int8_gmacs},
                  {"int8_gmacs", all.int8_gmacs}}}});
    return ExitCode::kOk;
  }
  std::printf("%s\n", machine.text().c_str());
  print_peaks(peaks, machine.threads);
  Table table({"instructions alone", ">1 thread",
               ">" + std::to_string(machine.threads) + " threads", "unit"});
  const auto row = [&](const char* what, double first, double total) {
    if (first > 0) table.row({what, short_number(first, 3), short_number(total, 3), "GMAC/s"});
  };
  row("f32", one.f32_gmacs, all.f32_gmacs);
  row("bf16", one.bf16_gmacs, all.bf16_gmacs);
  row("int8", one.int8_gmacs, all.int8_gmacs);
  table.print();
  return ExitCode::kOk;
}

ExitCode show_handover(const Common& common) {
  const double ns = measure_handover_ns();
  if (common.json)
    print_json({{"handover_ns", ns}});
  else
    std::printf("a number takes %s ns from one core to another\n", short_number(ns).c_str());
  return ExitCode::kOk;
}

ExitCode calibrate_machine(const Args& args, const Common& common) {
  if (args.handover) return show_handover(common);
  if (args.peaks) return show_peaks(common);
  const CalibrateOptions options = options_of(args, common);
  catch_stop_signals();
  const Calibration c = calibrate(options);
  const bool modelled = store_model(c, options.file);
  const auto evaluation = evaluate_cost_model(c.tables);
  if (common.json) {
    print_json({{"machine", c.tables.machine.text()},
                {"engine", c.tables.machine.engine},
                {"threads", c.tables.machine.threads},
                {"file", options.file.string()},
                {"networks", c.asked},
                {"measured", c.done},
                {"complete", c.done == c.asked},
                {"regions", c.tables.rows.size()},
                {"peaks", c.tables.peaks ? peaks_json(*c.tables.peaks) : Json(nullptr)},
                {"model", modelled ? Json(model_path(options.file).string()) : Json(nullptr)},
                {"held_out", evaluation_json(evaluation)}});
  } else {
    std::printf("%s\n", c.tables.machine.text().c_str());
    if (c.tables.peaks) print_peaks(*c.tables.peaks, c.tables.machine.threads);
    if (evaluation) print_evaluation(*evaluation);
    std::printf("%zu regions of %lld networks (of %lld) in %s\n", c.tables.rows.size(),
                static_cast<long long>(c.done), static_cast<long long>(c.asked),
                options.file.string().c_str());
    if (c.done < c.asked) std::printf("the same command goes on with the rest\n");
  }
  return c.stopped ? kInterrupted : ExitCode::kOk;
}

}  // namespace

Action calibrate_verb(CLI::App& app) {
  auto args = std::make_shared<Args>();
  app.add_option("models", args->models, "Networks whose regions are measured too")
      ->option_text("M...");
  app.add_option("-o,--out", args->file, "Where the tables go (default: the cache folder)")
      ->check(given("the file's name"));
  app.add_option("--minutes", args->minutes, "How long at most (default 10)")
      ->check(finite_number(0.01, 10000));
  app.add_option("--samples", args->samples, "Networks drawn at random (default 1500)")
      ->transform(whole_number(0, 1'000'000));
  app.add_flag("--no-zoo", args->no_zoo, "Leave out the shipped definitions");
  app.add_flag("--peaks", args->peaks,
               "Only measure what the machine reaches and what no kernel can exceed; keep nothing");
  app.add_flag("--handover", args->handover,
               "Only measure how long a number takes from one core to another; keep nothing");
  app.footer(
      "Examples:\n"
      "  espalier calibrate --threads 2\n"
      "  espalier calibrate --threads 2 --peaks\n"
      "  espalier calibrate net.onnx --minutes 30\n"
      "  espalier calibrate --samples 5000 --minutes 120 --overwrite\n"
      "Tables are of this processor, its vector extensions and the thread count. Ctrl-C, or the "
      "end\n"
      "of the time, saves what was measured; the same command goes on. --overwrite starts anew.\n"
      "inspect then predicts times.");
  return [args](const Common& common) { return calibrate_machine(*args, common); };
}

}  // namespace espalier::cli
