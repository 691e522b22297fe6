#include "cli/bench_tune.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/log.h"
#include "base/threads.h"
#include "cli/output.h"
#include "kernels/jit/micro_kernel.h"
#include "runtime/machine.h"
#include "runtime/random_input.h"
#include "runtime/session.h"
#include "runtime/timing.h"
#include "runtime/tuner.h"
#include "train/stop.h"

namespace espalier::cli {
namespace {

using Json = nlohmann::ordered_json;

/// A session, and what it reads and writes.
struct Contender {
  Session session;
  std::vector<Tensor> inputs, outputs;

  Contender(const Graph& graph, const CompileOptions& options, uint64_t seed)
      : session(compile(graph, options)) {
    for (const TensorType& t : session.program().input_types())
      inputs.push_back(random_input(t, Rng(seed, 1).fork(inputs.size())));
    for (const TensorType& t : session.program().output_types())
      outputs.emplace_back(t.dtype, t.shape());
  }
  void run() { session.run_into(inputs, outputs); }
};

/// How far the outputs differ at most, relative to the largest number of each.
double largest_difference(const Contender& a, const Contender& b) {
  double most = 0;
  for (size_t i = 0; i < a.outputs.size(); ++i) {
    if (!is_float(a.outputs[i].dtype())) continue;
    double apart = 0, scale = 0;
    for (int64_t k = 0; k < a.outputs[i].size(); ++k) {
      apart = std::max(apart, std::abs(a.outputs[i].at(k) - b.outputs[i].at(k)));
      scale = std::max(scale, std::abs(a.outputs[i].at(k)));
    }
    if (apart > 0) most = std::max(most, apart / std::max(scale, 1e-30));
  }
  return most;
}

/// What the file holds, those just found in their place.
void keep(const TunedKernels& found, const std::filesystem::path& file) {
  TunedKernels all = load_tuned(file, found.machine());
  for (const auto& [problem, product] : found.products()) all.set(product);
  save_tuned(all, file);
}

Json product_json(const NetworkProduct& p, const TunedProduct* found) {
  Json j = {{"problem", p.problem.text()}, {"uses", p.uses}};
  if (!found) return j;
  j["kernel"] = found->tile ? Json(found->tile->text()) : Json(nullptr);
  j["generated_ms"] = found->generated_ms;
  j["other_ms"] = found->other_ms;
  j["tiles"] = found->measured;
  return j;
}

void print_products(const std::vector<NetworkProduct>& products, const TunedKernels& tuned) {
  Table table({"product", ">uses", ">other ms", ">generated ms", ">tiles", "serves"});
  for (const NetworkProduct& p : products) {
    const TunedProduct* found = tuned.find(p.problem.text());
    const auto time = [](double ms) { return ms > 0 ? short_number(ms) : std::string("-"); };
    table.row({p.problem.text(), std::to_string(p.uses), found ? time(found->other_ms) : "",
               found ? time(found->generated_ms) : "", found ? std::to_string(found->measured) : "",
               !found        ? "the other kernel: there was no time"
               : found->tile ? "generated, " + found->tile->text()
                             : "the other kernel"});
  }
  table.print();
}

}  // namespace

double parse_duration(const std::string& option, const std::string& text) {
  static const std::map<std::string, double> kUnits = {{"", 1},   {"s", 1},    {"ms", 1e-3},
                                                       {"m", 60}, {"min", 60}, {"h", 3600}};
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, number);
  const auto unit = kUnits.find(std::string(at, end));
  constexpr double kLongest = 7 * 86400;
  const double seconds = unit == kUnits.end() ? 0 : number * unit->second;
  if (error != std::errc() || !(seconds > 0) || seconds > kLongest)
    throw usage_error(option, "'" + text + "' is not a duration", "for instance 30s, 500ms or 2m");
  return seconds;
}

ExitCode bench_tune(const std::string& name, const Graph& graph, const BenchTune& how,
                    const CompileOptions& options, const Common& common) {
  if (const std::string& why = kernels::no_generated_kernels(); !why.empty())
    throw unsupported("--tune", why, "bench without it; the other kernels serve");
  const MachineId here = machine_id(options.threads);
  const std::filesystem::path file = tuned_path(here);
  if (file.empty())
    throw bad_input("--tune", "there is no cache folder to keep what is found in",
                    "set ESPALIER_CACHE or HOME");
  const auto products = network_products(graph, options);
  if (products.empty())
    throw unsupported(name, "has no matrix product that generated code could serve",
                      "f32 products of MatMul and Gemm are tuned; --explain says what runs");
  catch_stop_signals();
  TuneOptions tuning;
  tuning.threads = options.threads;
  tuning.seconds = how.seconds;
  tuning.whole_space = how.whole_space;
  tuning.seed = common.seed.value_or(0);
  tuning.stop = stop_requested;
  const auto start = std::chrono::steady_clock::now();
  const TunedKernels tuned =
      tune(products, tuning,
           common.overwrite || how.whole_space ? TunedKernels(here) : load_tuned(file, here));
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (stop_requested()) {
    keep(tuned, file);
    return kInterrupted;
  }

  Contender before(graph, options, tuning.seed);
  CompileOptions with = options;
  with.choices = machine_tuned_kernels(tuned);
  with.explain = {};
  Contender after(graph, with, tuning.seed);
  constexpr int kRounds = 11;
  const std::function<void()> contenders[] = {[&] { before.run(); }, [&] { after.run(); }};
  const auto times = time_alternating(
      contenders, {.rounds = kRounds, .seconds_per_turn = how.bench_seconds / kRounds});
  const bool kept = !slower(times[0], times[1]);
  if (kept) keep(tuned, file);
  const double gain = speedup(times[0], times[1]);
  const double difference = largest_difference(before, after);
  int64_t generated = 0, tiles = 0;
  for (const auto& [problem, p] : tuned.products()) {
    generated += p.tile ? 1 : 0;
    tiles += p.measured;
  }
  if (common.json) {
    Json list = Json::array();
    for (const NetworkProduct& p : products)
      list.push_back(product_json(p, tuned.find(p.problem.text())));
    print_json({{"model", name},
                {"median_ms", times[kept ? 1 : 0].median_ms},
                {"before_ms", times[0].median_ms},
                {"after_ms", times[1].median_ms},
                {"speedup", gain},
                {"largest_difference", difference},
                {"kept", kept},
                {"file", kept ? Json(file.string()) : Json(nullptr)},
                {"threads", options.threads},
                {"tuning_seconds", seconds},
                {"tiles", tiles},
                {"products", list}});
    return ExitCode::kOk;
  }
  print_products(products, tuned);
  std::printf(
      "\n%s: %s ms before, %s ms tuned: %sx, %d thread%s; outputs differ by %s at most "
      "(relative)\n",
      name.c_str(), short_number(times[0].median_ms).c_str(),
      short_number(times[1].median_ms).c_str(), short_number(gain).c_str(), options.threads,
      options.threads == 1 ? "" : "s", short_number(difference, 2).c_str());
  std::printf("generated code serves %lld of %zu products; %lld tiles measured in %s s\n",
              static_cast<long long>(generated), products.size(), static_cast<long long>(tiles),
              short_number(seconds, 3).c_str());
  if (kept)
    std::printf("kept in %s: --tuned uses it\n", file.string().c_str());
  else
    std::printf("the network is slower with it, so nothing is kept\n");
  return ExitCode::kOk;
}

}  // namespace espalier::cli
