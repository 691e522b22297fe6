#include "cli/bench_stream.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/threads.h"
#include "cli/output.h"
#include "ir/derive.h"
#include "ir/interpret.h"
#include "runtime/random_input.h"
#include "runtime/session.h"
#include "runtime/timing.h"

namespace espalier::cli {
namespace {

std::vector<int64_t> extents_of(const Stream& s, uint64_t seed) {
  std::vector<int64_t> extents;
  for (int64_t i = 0; i < s.count; ++i)
    extents.push_back(s.first + (s.count == 1 ? 0 : (s.last - s.first) * i / (s.count - 1)));
  const Rng rng(seed, 2);
  for (size_t i = extents.size(); i > 1; --i) std::swap(extents[i - 1], extents[rng.below(i, i)]);
  return extents;
}

/// UserError(usage) naming the open dimensions where `dimension` is none of them.
void require_open(const Graph& g, const std::string& dimension) {
  std::set<std::string> open;
  for (ValueId v : g.inputs())
    if (g.value(v).type.is_tensor())
      for (const Dim& d : g.value(v).tensor().dims)
        if (!d.known()) open.insert(d.name());
  if (open.contains(dimension)) return;
  std::string names;
  for (const auto& name : open) names += (names.empty() ? "" : ", ") + name;
  throw usage_error("--stream", "the network has no open dimension '" + dimension + "'",
                    open.empty() ? "all its dimensions are fixed" : "there are: " + names);
}

/// Shapes of the inputs where `dimension` has that extent.
std::vector<Shape> shapes_at(const std::string& model, const Graph& g, const std::string& dimension,
                             int64_t extent, int64_t batch) {
  std::vector<Shape> shapes;
  for (ValueId v : g.inputs()) {
    const Value& input = g.value(v);
    if (!input.type.is_tensor())
      throw unsupported(model + ": input '" + input.name + "'",
                        "is " + to_string(input.type) + ", for which nothing can be drawn");
    Shape& shape = shapes.emplace_back();
    for (const Dim& d : input.tensor().dims) {
      const bool named = !d.known() && d.name() == dimension;
      if (d.known() || named)
        shape.push_back(named ? extent : d.value());
      else if (shape.empty())
        shape.push_back(batch > 0 ? batch : 1);
      else
        throw usage_error(model + ": input '" + input.name + "'",
                          "has the open dimension " + to_string(d) + " in " + to_string(input.type),
                          "export it with that dimension fixed, or let --stream name it");
    }
  }
  return shapes;
}

double milliseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

}  // namespace

Stream parse_stream(const std::string& text) {
  const auto bad = [&] {
    return usage_error("--stream", "'" + text + "' is no DIMENSION=FIRST:LAST:COUNT",
                       "for instance --stream T=16:400:50");
  };
  Stream s;
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) throw bad();
  s.dimension = text.substr(0, equals);
  const char *at = text.data() + equals + 1, *end = text.data() + text.size();
  for (int64_t* number : {&s.first, &s.last, &s.count}) {
    if (number != &s.first && (at == end || *at++ != ':')) throw bad();
    const auto [next, error] = std::from_chars(at, end, *number);
    if (error != std::errc()) throw bad();
    at = next;
  }
  constexpr int64_t kMostRuns = 10000, kMostExtent = int64_t{1} << 30;
  if (at != end || s.first < 1 || s.last < s.first || s.last > kMostExtent || s.count < 1 ||
      s.count > kMostRuns)
    throw bad();
  return s;
}

ExitCode bench_stream(const std::string& name, const Graph& graph, const Stream& stream,
                      int64_t batch, const CompileOptions& options, double seconds,
                      const Common& common) {
  struct Run {
    std::vector<Tensor> inputs, outputs;
    std::optional<Session> session;
  };
  require_open(graph, stream.dimension);
  const uint64_t seed = common.seed.value_or(0);
  std::vector<Run> runs;
  for (int64_t extent : extents_of(stream, seed)) {
    const auto shapes = shapes_at(name, graph, stream.dimension, extent, batch);
    const Graph fixed = specialised(graph, shapes);
    if (const std::string why = dynamics_of(fixed); !why.empty()) throw depends_on_data(name, why);
    Run& run = runs.emplace_back();
    run.session.emplace(compile(fixed, options));
    for (const TensorType& t : run.session->program().input_types())
      run.inputs.push_back(random_input(t, Rng(seed, 1).fork(run.inputs.size())));
    for (const TensorType& t : run.session->program().output_types())
      run.outputs.emplace_back(t.dtype, t.shape());
  }
  Model model(graph, options);
  const auto start = std::chrono::steady_clock::now();
  for (const Run& run : runs) model.run(run.inputs);
  const double first_ms = milliseconds_since(start);

  constexpr int kRounds = 10;
  const std::vector<std::function<void()>> contenders = {[&] {
                                                           for (const Run& run : runs)
                                                             model.run(run.inputs);
                                                         },
                                                         [&] {
                                                           for (Run& run : runs)
                                                             run.session->run_into(run.inputs,
                                                                                   run.outputs);
                                                         }};
  const auto times = time_alternating(contenders, {.rounds = kRounds,
                                                   .seconds_per_turn = seconds / kRounds,
                                                   .least_runs = 1,
                                                   .warmup_runs = 1});
  const double ratio = speedup(times[0], times[1]);  // times[0] / times[1]
  const int threads = options.threads > 0 ? options.threads : num_threads();
  if (common.json) {
    print_json({{"model", name},
                {"dimension", stream.dimension},
                {"runs", stream.count},
                {"threads", threads},
                {"stream_ms", times[0].median_ms},
                {"fixed_ms", times[1].median_ms},
                {"ratio", ratio},
                {"first_ms", first_ms},
                {"programs", model.compilations()}});
    return ExitCode::kOk;
  }
  std::printf("%s: %lld runs with %s from %lld to %lld, %d thread%s\n", name.c_str(),
              static_cast<long long>(stream.count), stream.dimension.c_str(),
              static_cast<long long>(stream.first), static_cast<long long>(stream.last), threads,
              threads == 1 ? "" : "s");
  std::printf(
      "  in a stream %s ms, at fixed shapes %s ms: %sx; the first pass took %s ms, %d "
      "programs\n",
      short_number(times[0].median_ms).c_str(), short_number(times[1].median_ms).c_str(),
      short_number(ratio, 3).c_str(), short_number(first_ms).c_str(), model.compilations());
  return ExitCode::kOk;
}

}  // namespace espalier::cli
