#include "runtime/tuner.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <mutex>

#include "base/progress.h"
#include "kernels/jit/micro_kernel.h"
#include "kernels/jit/space.h"
#include "runtime/machine.h"
#include "runtime/product_timer.h"

namespace espalier {
namespace {

using Clock = std::chrono::steady_clock;
using kernels::GemmProblem;
using kernels::GemmTile;

constexpr size_t kFinalists = 4;   // measured again, longer
constexpr double kFinalTimes = 4;  // as long
constexpr int kRounds = 9;
constexpr double kRoundTimes = 3;  // a turn of a round
constexpr double kLeastGain = 1.01;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Chooses nothing; remembers what it was asked for.
class Collector : public KernelChoices {
 public:
  std::optional<GemmTile> tile_for(const GemmProblem& problem) const override {
    const std::lock_guard lock(mutex_);
    NetworkProduct& p = found_[problem.text()];
    p.problem = problem;
    ++p.uses;
    return std::nullopt;
  }
  std::vector<NetworkProduct> found() const {
    std::vector<NetworkProduct> list;
    for (const auto& [text, p] : found_) list.push_back(p);
    std::stable_sort(list.begin(), list.end(),
                     [](const auto& a, const auto& b) { return a.work() > b.work(); });
    return list;
  }

 private:
  mutable std::mutex mutex_;
  mutable std::map<std::string, NetworkProduct> found_;
};

}  // namespace

std::vector<NetworkProduct> network_products(const Graph& graph, const CompileOptions& options) {
  const auto collector = std::make_shared<const Collector>();
  CompileOptions asking = options;
  asking.choices = collector;
  compile(graph, asking);
  return collector->found();
}

namespace {

double median_of(std::vector<double> values) {
  const auto middle = values.begin() + int64_t(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double deviation_of(const std::vector<double>& values) {
  const double median = median_of(values);
  std::vector<double> away;
  for (double v : values) away.push_back(std::abs(v - median));
  return median_of(std::move(away));
}

}  // namespace

bool gains(const std::vector<double>& first, const std::vector<double>& second) {
  const double ours = median_of(first), theirs = median_of(second);
  const double noise = 2 * std::max(deviation_of(first), deviation_of(second));
  return theirs > kLeastGain * ours && theirs - ours > noise;
}

struct Tuner::Impl {
  /// The product at hand.
  struct Search {
    Search(const NetworkProduct& product, const TuneOptions& options, double weights_in_turn)
        : problem(product.problem), timer(problem, options.threads, weights_in_turn, options.seed) {
      const auto device = kernels::gemm_device();
      space = options.whole_space ? kernels::whole_space(problem, device, options.threads)
                                  : kernels::device_space(problem, device, options.threads);
    }
    GemmProblem problem;
    ProductTimer timer;
    std::vector<GemmTile> space;
    std::vector<std::pair<double, size_t>> times;  ///< of tiles of the space, once each
    std::vector<std::pair<double, size_t>> finals;
    // Then the best of them beside the other kernel, in turns.
    GemmTile best;
    int rounds = 0;
    std::vector<double> generated_ms, other_ms;
    double seconds = 0;
  };

  std::vector<NetworkProduct> products;
  TuneOptions options;
  TunedKernels kernels;
  double weights_in_turn = 0;
  size_t next = 0;  ///< product
  std::unique_ptr<Search> search;
  int64_t measured = 0;
  double seconds = 0;

  Impl(std::vector<NetworkProduct> list, const TuneOptions& o, const TunedKernels& known)
      : products(std::move(list)), options(o), kernels(machine_id(o.threads)) {
    for (const NetworkProduct& p : products) {
      if (const TunedProduct* found = known.find(p.problem.text())) kernels.set(*found);
      if (p.problem.b_stride == 0)
        weights_in_turn += double(p.uses * p.problem.k * p.problem.n) * sizeof(float);
    }
    // More than the second cache holds comes from further away, however much it is.
    weights_in_turn =
        std::min(weights_in_turn, 2 * double(kernels::gemm_device().l2_bytes * o.threads));
    if (!kernels::no_generated_kernels().empty()) products.clear();
  }

  bool out_of_time() const {
    return options.stop() || (options.seconds > 0 && seconds > options.seconds);
  }

  /// Of the time there is, what this product may take: by its share of the work that is left.
  double allotted() const {
    if (options.seconds <= 0) return INFINITY;
    double left = 0;
    for (size_t i = next; i < products.size(); ++i)
      if (!kernels.find(products[i].problem.text())) left += products[i].work();
    const double spent_here = search ? search->seconds : 0;
    return (options.seconds - seconds + spent_here) * products[next].work() / std::max(left, 1.0);
  }

  bool step() {
    while (next < products.size() && kernels.find(products[next].problem.text())) ++next;
    if (next == products.size() || out_of_time()) return false;
    const auto start = Clock::now();
    if (!search) search = std::make_unique<Search>(products[next], options, weights_in_turn);
    const bool going_on = advance(*search);
    const double spent = seconds_since(start);
    seconds += spent;
    search->seconds += spent;
    if (!going_on) {
      decide(*search);
      search.reset();
    }
    return true;
  }

  /// False when everything is measured.
  bool advance(Search& s) {
    // A tenth is kept for the finals.
    if (s.times.size() < s.space.size() && (s.times.empty() || s.seconds < 0.9 * allotted())) {
      const size_t i = s.times.size();
      s.times.emplace_back(s.timer.quick_ms(s.space[i], options.seconds_per_tile), i);
      ++measured;
      return true;
    }
    if (s.finals.empty()) std::sort(s.times.begin(), s.times.end());
    if (s.finals.size() < std::min(kFinalists, s.times.size())) {
      const size_t i = s.times[s.finals.size()].second;
      s.finals.emplace_back(s.timer.quick_ms(s.space[i], kFinalTimes * options.seconds_per_tile),
                            i);
      return true;
    }
    if (s.rounds < kRounds) {
      if (s.rounds++ == 0)
        s.best = s.space[std::min_element(s.finals.begin(), s.finals.end())->second];
      const auto r = s.timer.round(s.best, kRoundTimes * options.seconds_per_tile);
      s.generated_ms.push_back(r.generated_ms);
      if (r.other_ms) s.other_ms.push_back(*r.other_ms);
    }
    return s.rounds < kRounds;
  }

  void decide(const Search& s) {
    TunedProduct p;
    p.problem = s.problem.text();
    p.generated_ms = median_of(s.generated_ms);
    p.other_ms = s.other_ms.empty() ? 0 : median_of(s.other_ms);
    if (s.other_ms.empty() || gains(s.generated_ms, s.other_ms)) p.tile = s.best;
    p.measured = int64_t(s.times.size());
    p.seconds = s.seconds;
    kernels.set(std::move(p));
  }
};

Tuner::Tuner(std::vector<NetworkProduct> products, const TuneOptions& options,
             const TunedKernels& known)
    : impl_(std::make_unique<Impl>(std::move(products), options, known)) {}
Tuner::~Tuner() = default;

bool Tuner::step() { return impl_->step(); }
const TunedKernels& Tuner::kernels() const { return impl_->kernels; }
int64_t Tuner::decided() const { return int64_t(impl_->kernels.products().size()); }
int64_t Tuner::products() const { return int64_t(impl_->products.size()); }
int64_t Tuner::tiles_measured() const { return impl_->measured; }
double Tuner::seconds() const { return impl_->seconds; }

TunedKernels tune(std::vector<NetworkProduct> products, const TuneOptions& options,
                  const TunedKernels& known) {
  Tuner tuner(std::move(products), options, known);
  Progress progress("tuning", tuner.products(), "products");
  int64_t seen = 0;
  while (tuner.step()) {
    progress.advance(tuner.decided() - seen);
    seen = tuner.decided();
  }
  return tuner.kernels();
}

}  // namespace espalier
