// NCPP and PerfCastDB (Liu et al. 2024): performance of configurations that were never measured.
// The configurations are this machine at several thread counts and instruction sets, each measured
// by espalier calibrate in a process of its own on the same networks; with `perfcast`, those of a
// PerfCastDB file as well.
#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/process.h"
#include "base/threads.h"
#include "formats/csv.h"
#include "reproduce/predictors.h"
#include "reproduce/reproduce.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

struct Configuration {
  std::string isa;  ///< as ONEDNN_MAX_CPU_ISA names it
  int threads = 1;
};

/// Our own loops are kept off what oneDNN is kept off.
std::string own_limit(const std::string& isa) {
  if (isa == "SSE41") return "BASELINE";
  if (isa == "AVX512_CORE") return "AVX512";
  return isa == "AVX2" ? "AVX2" : "";
}

std::vector<Configuration> configurations_of(Fields& recipe) {
  static const std::vector<std::string> kKnown = {
      "SSE41", "AVX2", "AVX512_CORE", "AVX512_CORE_VNNI", "AVX512_CORE_BF16", "ALL"};
  std::vector<Configuration> all;
  const std::vector<Yaml>& threads = recipe.require("threads").items();
  for (const Yaml& isa : recipe.require("instruction_sets").items()) {
    if (std::find(kKnown.begin(), kKnown.end(), isa.text()) == kKnown.end())
      isa.fail("'" + isa.text() + "' is not known", suggestion(isa.text(), kKnown));
    for (const Yaml& count : threads) {
      if (count.integer() < 1 || count.integer() > 4096)
        count.fail("'" + count.text() + "' is no number of threads");
      if (count.integer() <= available_cpus()) all.push_back({isa.text(), int(count.integer())});
    }
  }
  return all;
}

/// The tables of one configuration, measured by this program in another process.
CostTables measured(const Configuration& c, int64_t samples, uint64_t seed,
                    const fs::path& folder) {
  const fs::path file =
      folder / (c.isa + "-" + std::to_string(c.threads) + "-" + std::to_string(samples) + ".json");
  log_info("measuring " + c.isa + " on " + std::to_string(c.threads) +
           (c.threads == 1 ? " thread" : " threads"));
  const int code =
      run_again({"calibrate", "--no-zoo", "--threads", std::to_string(c.threads), "--samples",
                 std::to_string(samples), "--seed", std::to_string(seed), "--minutes", "10000",
                 "-o", file.string()},
                {{"ONEDNN_MAX_CPU_ISA", c.isa}, {"ESPALIER_MAX_ISA", own_limit(c.isa)}});
  if (code != 0)
    throw bad_input(file.string(),
                    "espalier calibrate ended with exit code " + std::to_string(code),
                    "the same command goes on; to begin anew, remove " + folder.string());
  return parse_tables(read_file(file), file.string());
}

/// Those that differ: a machine has no instruction sets beyond its own.
std::vector<CostTables> measured_configurations(const std::vector<Configuration>& all,
                                                int64_t samples, uint64_t seed,
                                                const fs::path& folder) {
  std::vector<CostTables> tables;
  for (const Configuration& c : all) {
    CostTables one = measured(c, samples, seed, folder);
    const auto same = [&](const CostTables& t) { return t.machine == one.machine; };
    if (std::none_of(tables.begin(), tables.end(), same)) tables.push_back(std::move(one));
  }
  return tables;
}

void add_errors(const std::map<std::string, double>& errors, const std::string& suffix,
                Findings& f) {
  f.measured["mape" + suffix] = errors.at("ncpp");
  f.baseline["mape" + suffix] =
      std::min({errors.at("linear"), errors.at("tree"), errors.at("perceptron")});
  for (const auto& [predictor, error] : errors)
    if (predictor != "ncpp") f.baseline["mape_" + predictor + suffix] = error;
}

}  // namespace

Findings measure_configurations(Fields& recipe, const MeasureOptions& options) {
  const std::vector<Configuration> configurations = configurations_of(recipe);
  const int64_t samples = recipe.integer("samples", 250, 10, 100'000);
  PerformanceTraining training;
  training.steps = recipe.integer("steps", 1500, 1, 1'000'000);
  training.seed = options.seed;
  const std::string perfcast = recipe.string("perfcast", "");
  recipe.done();
  std::optional<GroupedTable> published;  // read before anything is measured
  if (!perfcast.empty())
    published = read_perfcast(load_csv(perfcast, CsvHeader::present), perfcast);
  const fs::path cache = cache_folder("reproduce");
  if (cache.empty())
    throw bad_input("reproduce", "there is no cache folder to keep measurements in",
                    "set ESPALIER_CACHE or HOME");
  const fs::path folder = cache / ("configurations-" + std::to_string(options.seed));
  make_folder(folder);
  const auto tables = measured_configurations(configurations, samples, options.seed, folder);
  const GroupedTable table = grouped_machines(tables);
  Findings f;
  f.measured = {{"configurations", tables.size()}, {"rows", table.target.size()}};
  add_errors(compare_predictors(table, training), "", f);
  if (published) {
    f.measured["perfcast_rows"] = published->target.size();
    add_errors(compare_predictors(*published, training), "_perfcast", f);
  }
  f.holds = f.measured["mape"].get<double>() < f.baseline["mape"].get<double>();
  // Kept only to go on after an interruption: a finished run measures anew the next time.
  std::error_code ignored;
  fs::remove_all(folder, ignored);
  return f;
}

}  // namespace espalier
