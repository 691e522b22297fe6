#include "recipe/coordinate_check.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "base/error.h"
#include "base/quietly.h"
#include "ir/derive.h"
#include "recipe/at_line.h"
#include "runtime/session.h"
#include "train/divergence.h"
#include "train/selection.h"
#include "train/weight_target.h"

namespace espalier {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

/// Where the base has "32", 4 times that.
int64_t whole(const ParametrizationPart& part, const std::string& name, const std::string& text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1)
    part.place.fail("the base's variable '" + name + "' is '" + text +
                    "'; widths are multiples of whole numbers");
  return value;
}

struct Results {
  std::vector<std::string> layers;
  std::vector<bool> weighed;
  std::vector<Tensor> values;
};

/// The results of the network's products on a batch.
Results products_of(const Graph& network, const Tensor& batch) {
  Graph g = typed_for(network, batch.shape());
  std::vector<ValueId> outputs;
  Results r;
  std::set<NodeId> weighs;
  for (const std::string& name : parameter_names(g))
    for (const Reading& reading : readings_of(g, g.find(name))) weighs.insert(reading.node);
  for (NodeId id : g.order()) {
    const Node& n = g.node(id);
    if (n.outputs.size() != 1 || cost_of(g, id).macs == 0) continue;
    outputs.push_back(n.outputs[0]);
    r.weighed.push_back(weighs.contains(id));
    r.layers.push_back(n.name.empty() ? g.value(n.outputs[0]).name : n.name);
  }
  g.set_outputs(outputs);
  g.erase_dead();
  r.values = Model(std::move(g)).run({batch});
  return r;
}

double distance(const Tensor& a, const Tensor& b) {
  double sum = 0;
  for (int64_t i = 0; i < a.size(); ++i) {
    const double d = double(a.data<float>()[i]) - double(b.data<float>()[i]);
    sum += d * d;
  }
  return std::sqrt(sum / double(std::max<int64_t>(1, a.size())));
}

/// log2 of the rate where the parabola through the least loss and its neighbours is least.
double between(const std::vector<double>& rates, const std::vector<double>& loss, size_t best) {
  const double x = std::log2(rates[best]);
  if (best == 0 || best + 1 == rates.size() || !std::isfinite(loss[best - 1]) ||
      !std::isfinite(loss[best + 1]))
    return x;
  const double l = std::log2(rates[best - 1]), r = std::log2(rates[best + 1]);
  const double a = (x - l) * (loss[best] - loss[best + 1]),
               b = (x - r) * (loss[best] - loss[best - 1]);
  return a == b ? x : x - 0.5 * ((x - l) * a - (x - r) * b) / (a - b);
}

TrainOptions options_for(const WidthFamily& f, const ParametrizedNetwork& network, double rate,
                         uint64_t seed) {
  TrainOptions o = f.training;
  o.rate_factors = network.rate_factors;
  o.schedule.peak = rate;
  o.seed = seed;
  o.log_every = 0;
  return o;
}

}  // namespace

double log_slope(const std::vector<double>& x, const std::vector<double>& y) {
  const auto n = double(x.size());
  double mx = 0, my = 0, xy = 0, xx = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    mx += std::log2(x[i]) / n;
    my += std::log2(std::max(y[i], 1e-30)) / n;
  }
  for (size_t i = 0; i < x.size(); ++i) {
    const double dx = std::log2(x[i]) - mx;
    xy += dx * (std::log2(std::max(y[i], 1e-30)) - my);
    xx += dx * dx;
  }
  return xx > 0 ? xy / xx : 0;
}

int64_t WidthFamily::width(int64_t multiple) const {
  const auto& [name, text] = *part.base.rbegin();
  const auto found = part.base.find("width");
  return multiple *
         (found == part.base.end() ? whole(part, name, text) : whole(part, "width", found->second));
}

ParametrizedNetwork WidthFamily::at(const std::string& kind, int64_t multiple,
                                    uint64_t seed) const {
  ParametrizationPart p = part;
  if (kind != part.exponents.kind)
    p.exponents =
        at_line(part.place, [&] { return parametrization(kind, training.optimizer.unit()); });
  ModelPart wide = model;
  for (const auto& [name, text] : part.base)
    wide.variables[name] = std::to_string(multiple * whole(part, name, text));
  return parametrized_network(wide, p, training.optimizer, seed, train.get());
}

double CoordinateCheck::steepest() const {
  return std::ranges::max(layers, {}, &LayerChange::slope).slope;
}
double CoordinateCheck::shallowest() const {
  double least = kNever;
  for (const LayerChange& l : layers)
    if (l.weighed) least = std::min(least, l.slope);
  return least;
}

CoordinateCheck check_coordinates(const WidthFamily& family, const std::string& kind,
                                  const CoordinateOptions& options) {
  const Quietly quietly;
  CoordinateCheck check{kind, options.rate, {}};
  std::vector<int64_t> first(size_t(std::min(family.training.batch, family.train->size())));
  std::iota(first.begin(), first.end(), int64_t{0});
  const Tensor batch = family.train->fetch(first).inputs;
  std::vector<double> widths;
  for (size_t w = 0; w < options.multiples.size(); ++w) {
    widths.push_back(double(options.multiples[w]));
    for (int64_t s = 0; s < options.seeds; ++s) {
      const uint64_t seed = options.seed + uint64_t(s);
      const ParametrizedNetwork network = family.at(kind, options.multiples[w], seed);
      TrainOptions o = options_for(family, network, options.rate, seed);
      o.epochs = 1;
      o.epoch_steps = options.steps;
      o.schedule.kind = Schedule::Kind::kConstant;
      o.schedule.warmup = 0;
      const Results before = products_of(network.graph, batch);
      Trainer trainer(deployed(network.graph, o.norms), family.train, nullptr, o);
      if (!trainer.train().finished) throw usage_error("the coordinate check", "was interrupted");
      const Results after = products_of(trainer.network(), batch);
      if (check.layers.empty())
        for (size_t i = 0; i < before.layers.size(); ++i)
          check.layers.push_back({before.layers[i], before.weighed[i], {}, 0});
      for (size_t i = 0; i < before.values.size(); ++i) {
        check.layers[i].change.resize(w + 1);
        check.layers[i].change[w] +=
            distance(before.values[i], after.values[i]) / double(options.seeds);
      }
    }
  }
  for (LayerChange& l : check.layers) l.slope = log_slope(widths, l.change);
  return check;
}

double loss_at(const WidthFamily& family, const std::string& kind, int64_t multiple, double rate,
               uint64_t seed) {
  const Quietly quietly;
  const ParametrizedNetwork network = family.at(kind, multiple, seed);
  const TrainOptions o = options_for(family, network, rate, seed);
  Trainer trainer(deployed(network.graph, o.norms), family.train, family.val, o);
  try {
    const TrainResult result = trainer.train();
    if (!result.finished) throw usage_error("the sweep of rates", "was interrupted");
    return result.history.back().val_loss;
  } catch (const UserError& e) {
    if (!is_divergence(e)) throw;
    return kNever;
  }
}

WidthSweep sweep_rates(const WidthFamily& family, const std::string& kind, int64_t multiple,
                       const std::vector<double>& rates, const std::vector<uint64_t>& seeds,
                       const std::function<void(double rate, double loss)>& tell) {
  WidthSweep sweep;
  sweep.multiple = multiple;
  sweep.width = family.width(multiple);
  for (double rate : rates) {
    const auto begin = std::chrono::steady_clock::now();
    double loss = 0;
    for (uint64_t seed : seeds) {
      const double one = loss_at(family, kind, multiple, rate, seed);
      loss += one / double(seeds.size());
      if (tell) tell(rate, one);
    }
    sweep.loss.push_back(loss);
    sweep.seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  sweep.best = size_t(std::ranges::min_element(sweep.loss) - sweep.loss.begin());
  sweep.at_edge = rates.size() > 1 && (sweep.best == 0 || sweep.best + 1 == rates.size());
  sweep.log2_best = between(rates, sweep.loss, sweep.best);
  return sweep;
}

}  // namespace espalier
