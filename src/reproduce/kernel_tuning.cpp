// nn-JIT.web (Jia et al. 2023) on this machine: kernels generated while a network serves, from a
// space of tiles that the device's registers and caches reduce to dozens, beside kernels fixed
// ahead of time and beside the whole space.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>

#include "base/error.h"
#include "base/log.h"
#include "ir/interpret.h"
#include "kernels/jit/micro_kernel.h"
#include "kernels/jit/space.h"
#include "recipe/blueprint.h"
#include "reproduce/reproduce.h"
#include "runtime/machine.h"
#include "runtime/random_input.h"
#include "runtime/timing.h"
#include "runtime/tuning_session.h"

namespace espalier {
namespace {

using Clock = std::chrono::steady_clock;
using kernels::GemmTile;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, size_t(q * double(values.size())))];
}

/// One tile for whatever product comes: what a generator that runs ahead of time ships.
class FixedKernels : public KernelChoices {
 public:
  std::optional<GemmTile> tile_for(const kernels::GemmProblem&) const override {
    return kernels::fixed_tile();
  }
};

struct Settings {
  Graph network;
  int threads = 1;
  double seconds = 30, seconds_per_tile = 0.001;
  int64_t repeats = 3, rounds = 21;
  uint64_t seed = 0;

  CompileOptions with(std::shared_ptr<const KernelChoices> choices) const {
    CompileOptions o;
    o.threads = threads;
    o.choices = std::move(choices);
    return o;
  }
  TuneOptions tuning(uint64_t repeat) const {
    TuneOptions o;
    o.threads = threads;
    o.seconds = seconds;
    o.seconds_per_tile = seconds_per_tile;
    o.seed = seed + repeat;
    return o;
  }
  TunedKernels nothing() const { return TunedKernels(machine_id(threads)); }
};

/// What is fed to a program, and what it writes.
struct Exchange {
  std::vector<Tensor> inputs, outputs;
  explicit Exchange(const Program& p) {
    const Rng rng(0, stream_of("tuned inputs"));
    for (const TensorType& t : p.input_types())
      inputs.push_back(random_input(t, rng.fork(inputs.size())));
    for (const TensorType& t : p.output_types()) outputs.emplace_back(t.dtype, t.shape());
  }
};

struct Tuned {
  TunedKernels kernels;
  double seconds = 0;  ///< of wall time, until the last product was decided
  int64_t tiles = 0;
};

int64_t tiles_of(const TunedKernels& kernels) {
  int64_t tiles = 0;
  for (const auto& [problem, p] : kernels.products()) tiles += p.measured;
  return tiles;
}

/// Serves without a pause while kernels are tuned beside it.
struct Served {
  Tuned tuned;
  double first_ms = 0, while_p99_ms = 0, last_ms = 0;
  int exchanges = 0;
  int64_t runs = 0;
};

Served serve_and_tune(const Settings& s) {
  TuningSessionOptions options;
  options.compile = s.with(nullptr);
  options.tune = s.tuning(0);
  const auto start = Clock::now();
  TuningSession session(s.network, options, s.nothing());
  Exchange x(*session.program());
  std::vector<double> times;
  Served served{{s.nothing()}};
  do {
    const auto before = Clock::now();
    session.run_into(x.inputs, x.outputs);
    times.push_back(seconds_since(before) * 1e3);
    ++served.runs;
  } while (session.tuning());
  served.tuned.seconds = seconds_since(start);
  served.tuned.kernels = session.kernels();
  served.tuned.tiles = tiles_of(served.tuned.kernels);
  served.exchanges = session.exchanges();
  const size_t few = std::min<size_t>(20, times.size());
  served.first_ms = quantile({times.begin(), times.begin() + int64_t(few)}, 0.5);
  served.while_p99_ms = quantile(times, 0.99);
  std::vector<double> after;
  for (int i = 0; i < 50; ++i) {
    const auto before = Clock::now();
    session.run_into(x.inputs, x.outputs);
    after.push_back(seconds_since(before) * 1e3);
  }
  served.last_ms = quantile(after, 0.5);
  return served;
}

Tuned tuned_at_once(const Settings& s, const std::vector<NetworkProduct>& products,
                    TuneOptions how) {
  const auto start = Clock::now();
  Tuned t{tune(products, how, s.nothing())};
  t.seconds = seconds_since(start);
  t.tiles = tiles_of(t.kernels);
  return t;
}

/// Milliseconds that the best generated kernels need for the products of one run.
double generated_ms(const std::vector<NetworkProduct>& products, const TunedKernels& kernels) {
  double ms = 0;
  for (const NetworkProduct& p : products)
    if (const TunedProduct* found = kernels.find(p.problem.text()))
      ms += double(p.uses) * found->generated_ms;
  return ms;
}

/// The network under several choices of kernels, in turns.
std::vector<Timing> compared(const Settings& s,
                             const std::vector<std::shared_ptr<const KernelChoices>>& choices) {
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<Exchange> exchanges;
  std::vector<std::function<void()>> contenders;
  exchanges.reserve(choices.size());
  for (const auto& c : choices) {
    sessions.push_back(std::make_unique<Session>(compile(s.network, s.with(c))));
    exchanges.emplace_back(sessions.back()->program());
    contenders.emplace_back([session = sessions.back().get(), x = &exchanges.back()] {
      session->run_into(x->inputs, x->outputs);
    });
  }
  return time_alternating(contenders, {.rounds = int(s.rounds), .seconds_per_turn = 0.1});
}

/// Microseconds until a kernel is ready to run, over the register tiles there are.
double generation_us() {
  kernels::MicroKernelSpec spec;
  spec.unroll = 4;
  spec.a_stride = spec.c_stride = 12'347;  // of no product: nothing is taken from what is held
  std::vector<std::shared_ptr<const kernels::MicroKernel>> held;
  const auto start = Clock::now();
  for (spec.vectors = 1; spec.vectors <= 4; ++spec.vectors)
    for (spec.rows = 1; kernels::tile_fits(spec.rows, spec.vectors); ++spec.rows)
      held.push_back(kernels::micro_kernel(spec));
  return seconds_since(start) * 1e6 / double(held.size());
}

Settings settings_of(Fields& recipe, const MeasureOptions& options) {
  Settings s;
  const Graph zoo = load_blueprint(zoo_path(recipe.require_string("network"), options.recipe));
  s.threads = int(recipe.integer("threads", 1, 1, 1024));
  s.seconds = recipe.number("seconds", 30, 0.01, 3600);
  s.seconds_per_tile = recipe.number("seconds_per_tile", 0.001, 1e-6, 1);
  s.repeats = recipe.integer("repeats", 3, 1, 100);
  s.rounds = recipe.integer("rounds", 21, 3, 1000);
  recipe.done();
  s.seed = options.seed;
  std::vector<Shape> shapes;
  for (ValueId v : zoo.inputs()) {
    Shape& shape = shapes.emplace_back();
    for (const Dim& d : zoo.value(v).tensor().dims) shape.push_back(d.known() ? d.value() : 1);
  }
  s.network = specialised(zoo, shapes);
  return s;
}

}  // namespace

Findings measure_kernel_tuning(Fields& recipe, const MeasureOptions& options) {
  const Settings s = settings_of(recipe, options);
  machine_id(s.threads);  // limits of the instruction set count
  if (const std::string& why = kernels::no_generated_kernels(); !why.empty())
    throw unsupported("kernel tuning", why);
  const auto products = network_products(s.network, s.with(nullptr));
  if (products.empty()) recipe.map().fail("the network has no matrix product to tune");

  log_info("serving while kernels are tuned");
  const Served served = serve_and_tune(s);
  std::vector<Tuned> small = {served.tuned};
  for (int64_t r = 1; r < s.repeats; ++r)
    small.push_back(tuned_at_once(s, products, s.tuning(uint64_t(r))));
  log_info("measuring the whole space");
  TuneOptions everything = s.tuning(0);
  everything.whole_space = true;
  everything.seconds = 0;
  const Tuned whole = tuned_at_once(s, products, everything);

  std::vector<std::shared_ptr<const KernelChoices>> choices = {
      nullptr, std::make_shared<const FixedKernels>(),
      std::make_shared<const TunedKernels>(whole.kernels)};
  for (const Tuned& t : small) choices.push_back(std::make_shared<const TunedKernels>(t.kernels));
  const auto times = compared(s, choices);
  const Timing &library = times[0], &fixed = times[1], &exhaustive = times[2];

  double over_library = INFINITY, over_fixed = INFINITY, share = INFINITY, kernel_share = INFINITY;
  double longest = 0, worst_ms = 0, time_share = 0;
  bool faster = true;
  for (size_t i = 0; i < small.size(); ++i) {
    const Timing& t = times[3 + i];
    over_library = std::min(over_library, speedup(library, t));
    over_fixed = std::min(over_fixed, speedup(fixed, t));
    share = std::min(share, speedup(exhaustive, t));
    kernel_share = std::min(kernel_share, generated_ms(products, whole.kernels) /
                                              generated_ms(products, small[i].kernels));
    faster = faster && gains(t.round_medians, library.round_medians) &&
             gains(t.round_medians, fixed.round_medians);
    longest = std::max(longest, small[i].seconds);
    time_share = std::max(time_share, small[i].seconds / whole.seconds);
    worst_ms = std::max(worst_ms, t.median_ms);
  }
  int64_t generated = 0;
  for (const auto& [problem, p] : small[0].kernels.products()) generated += p.tile ? 1 : 0;
  double macs = 0;
  for (const NetworkProduct& p : products) macs += p.work();

  Findings f;
  f.baseline = {{"latency_ms", std::min(library.median_ms, fixed.median_ms)},
                {"library_ms", library.median_ms},
                {"library_mad_ms", library.mad_ms},
                {"fixed_tile_ms", fixed.median_ms},
                {"fixed_tile_mad_ms", fixed.mad_ms},
                {"exhaustive_ms", exhaustive.median_ms},
                {"tuning_seconds", whole.seconds},
                {"tiles", whole.tiles},
                {"products_gmacs_per_second", macs / generated_ms(products, whole.kernels) / 1e6}};
  f.measured = {
      {"latency_ms", worst_ms},
      {"speed_over_library", over_library},
      {"speed_over_fixed_tile", over_fixed},
      {"share_of_exhaustive_speed", share},
      {"share_of_exhaustive_kernel_speed", kernel_share},
      {"tuning_seconds", longest},
      {"share_of_exhaustive_time", time_share},
      {"tiles", small[0].tiles},
      {"products", products.size()},
      {"products_generated", generated},
      {"microseconds_per_generated_kernel", generation_us()},
      {"served_runs_while_tuning", served.runs},
      {"served_exchanges", served.exchanges},
      {"served_first_ms", served.first_ms},
      {"served_p99_while_tuning_ms", served.while_p99_ms},
      {"served_last_ms", served.last_ms},
      {"products_gmacs_per_second", macs / generated_ms(products, small[0].kernels) / 1e6},
      {"threads", s.threads},
      {"tunings", small.size()}};
  f.holds =
      faster && longest <= s.seconds && share >= 0.9 && kernel_share >= 0.9 && time_share <= 0.1;
  return f;
}

}  // namespace espalier
