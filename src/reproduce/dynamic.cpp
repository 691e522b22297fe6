// DyCL (Chen et al. 2023): networks that decide while they run compile whole, natively and to C,
// where a tracing compiler keeps the line of one input. Every network is run on all its inputs by
// the interpreter, by programs, in C and along traces; times are against the same engine run
// operator by operator.
#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "deploy/compiled_c.h"
#include "ir/derive.h"
#include "ir/interpret.h"
#include "ir/trace.h"
#include "reproduce/dynamic_networks.h"
#include "reproduce/reproduce.h"
#include "runtime/eager.h"
#include "runtime/session.h"
#include "runtime/timing.h"

namespace espalier {
namespace {

/// Results of a path differ from the interpreter's by at most so much; another path is another
/// answer.
constexpr double kTolerance = 1e-4;

struct Tally {
  int64_t networks = 0, compiled_native = 0, compiled_c = 0, traced = 0;
  int64_t paths = 0, equal_native = 0, equal_c = 0, equal_eager = 0;
  int64_t same_path = 0, same_path_right = 0, other_path = 0, other_path_wrong = 0;
  int64_t other_class = 0;
  double log_native = 0, log_c = 0;
  double least_native = INFINITY, least_c = INFINITY;
};

bool agree(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].shape() != b[i].shape() || a[i].dtype() != b[i].dtype()) return false;
    for (int64_t k = 0; k < a[i].size(); ++k)
      if (!(std::abs(a[i].at(k) - b[i].at(k)) <= kTolerance)) return false;
  }
  return true;
}

int64_t largest(const Tensor& t) {
  int64_t best = 0;
  for (int64_t i = 1; i < t.size(); ++i)
    if (t.at(i) > t.at(best)) best = i;
  return best;
}

/// What every path's inputs are: path number to inputs.
using Paths = std::map<int64_t, std::vector<size_t>>;

/// How many paths a runner gets right on all their inputs.
int64_t paths_right(const Paths& paths, const std::vector<std::vector<Tensor>>& want,
                    const std::vector<std::vector<Tensor>>& got) {
  return std::ranges::count_if(paths, [&](const auto& path) {
    return std::ranges::all_of(path.second, [&](size_t i) { return agree(got[i], want[i]); });
  });
}

/// Traces the network on one input of each path and runs the line on all the others.
void compare_traces(const DynamicNetwork& network, const Paths& paths,
                    const std::vector<std::vector<Tensor>>& want, const CompileOptions& options,
                    Tally& tally) {
  for (const auto& [path, members] : paths) {
    const auto& first = network.inputs[members[0]];
    const Graph line = traced(network.graph, first);
    if (!dynamics_of(line).empty()) continue;
    Session session(compile(line, options));
    ++tally.traced;
    for (size_t i = 0; i < network.inputs.size(); ++i) {
      const auto got = session.run(network.inputs[i]);
      const bool right = agree(got, want[i]);
      if (std::ranges::find(members, i) != members.end()) {
        ++tally.same_path;
        tally.same_path_right += right;
      } else {
        ++tally.other_path;
        tally.other_path_wrong += !right;
        tally.other_class += largest(got[0]) != largest(want[i][0]);
      }
    }
  }
}

/// Milliseconds for each input, of one network.
struct Times {
  std::string network;
  double eager = 0, native = 0, c = 0;
};

Findings findings_of(const Tally& t, const std::vector<Times>& times) {
  const auto n = double(std::max<int64_t>(1, t.networks));
  const double native = std::exp(t.log_native / n), c = std::exp(t.log_c / n);
  Findings f;
  f.measured = {{"networks", t.networks},
                {"compiled_native", t.compiled_native},
                {"compiled_to_c", t.compiled_c},
                {"paths", t.paths},
                {"paths_equal_native", t.equal_native},
                {"paths_equal_c", t.equal_c},
                {"speedup_native", native},
                {"speedup_native_least", t.least_native},
                {"speedup_c", c},
                {"speedup_c_least", t.least_c}};
  f.baseline = {{"paths", t.paths},
                {"paths_equal_eager", t.equal_eager},
                {"traces", t.traced},
                {"traced_on_own_path", t.same_path},
                {"traced_right_on_own_path", t.same_path_right},
                {"traced_on_other_paths", t.other_path},
                {"traced_wrong_on_other_paths", t.other_path_wrong},
                {"traced_other_class_on_other_paths", t.other_class}};
  for (const Times& x : times) {
    f.measured[x.network + "_ms"] = x.native;
    f.measured[x.network + "_c_ms"] = x.c;
    f.baseline[x.network + "_ms"] = x.eager;
  }
  f.holds = t.networks > 0 && t.compiled_native == t.networks && t.compiled_c == t.networks &&
            t.equal_native == t.paths && t.equal_c == t.paths && native > 1 && t.other_path > 0 &&
            t.other_path_wrong > 0 && t.same_path_right == t.same_path;
  return f;
}

}  // namespace

Findings measure_dynamic(Fields& recipe, const MeasureOptions& options) {
  const std::vector<Yaml>& names = recipe.require("networks").items();
  const int64_t count = recipe.integer("inputs", 64, 2, 10000);
  const int64_t rounds = recipe.integer("rounds", 7, 1, 1000);
  recipe.done();
  if (names.empty()) recipe.map().fail("names no networks");
  Tally t;
  std::vector<Times> times;
  const CompileOptions compile_options{.threads = 1};
  for (const Yaml& name : names) {
    const DynamicNetwork network = dynamic_network(name.text(), count, options.seed);
    ++t.networks;
    std::vector<std::vector<Tensor>> want, by_program, in_c, eagerly;
    Paths paths;
    for (size_t i = 0; i < network.inputs.size(); ++i) {
      want.push_back(interpret(network.graph, network.inputs[i]));
      paths[want.back().at(1).int_at(0)].push_back(i);
    }
    t.paths += std::ssize(paths);

    Model model(network.graph, compile_options);
    EagerProgram eager(network.graph.compacted(), compile_options);
    for (const auto& input : network.inputs) {
      by_program.push_back(model.run(input));
      eagerly.push_back(to_tensors(eager.run(to_data(input)), "eager"));
    }
    ++t.compiled_native;
    t.equal_native += paths_right(paths, want, by_program);
    t.equal_eager += paths_right(paths, want, eagerly);

    CFile file(name.text());
    file.add(network.graph, name.text() + "_run");
    const CompiledC c(file, {"-O3", "-march=native"});
    ++t.compiled_c;
    for (const auto& input : network.inputs) in_c.push_back(c.run(0, input));
    t.equal_c += paths_right(paths, want, in_c);
    compare_traces(network, paths, want, compile_options, t);

    std::vector<Tensor> outputs = in_c[0];
    for (Tensor& o : outputs) o = o.clone();
    const std::vector<std::function<void()>> contenders = {
        [&] {
          for (const auto& input : network.inputs) eager.run(to_data(input));
        },
        [&] {
          for (const auto& input : network.inputs) model.run(input);
        },
        [&] {
          for (const auto& input : network.inputs) c.run_into(0, input, outputs);
        }};
    const auto timed =
        time_alternating(contenders, {.rounds = int(rounds), .least_runs = 1, .warmup_runs = 1});
    const double native = speedup(timed[0], timed[1]), compiled = speedup(timed[0], timed[2]);
    t.log_native += std::log(native);
    t.log_c += std::log(compiled);
    t.least_native = std::min(t.least_native, native);
    t.least_c = std::min(t.least_c, compiled);
    const auto each = [&](const Timing& x) { return x.median_ms / double(network.inputs.size()); };
    times.push_back({name.text(), each(timed[0]), each(timed[1]), each(timed[2])});
  }
  return findings_of(t, times);
}

}  // namespace espalier
