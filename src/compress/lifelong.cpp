#include "compress/lifelong.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/error.h"
#include "base/rng.h"
#include "train/step.h"

namespace espalier {

void LifelongPolicy::check(const std::string& where) const {
  const auto need = [&](bool holds, const char* what) {
    if (!holds) throw bad_input(where, what);
  };
  need(old >= 0 && forward >= 0, "strengths must not be negative");
  need(at_first > 0 && at_first <= 1, "the part recruited at first lies between 0 and 1");
  need(enough >= 0 && enough <= 1, "the accuracy that is enough lies between 0 and 1");
  need(tolerance >= 0 && tolerance <= 1, "the tolerance of pruning lies between 0 and 1");
}

Graph with_task_results(const Graph& network, int64_t tasks) {
  Graph g = network;
  if (g.outputs().size() != 1)
    throw bad_input(g.name, "has " + std::to_string(g.outputs().size()) +
                                " results, tasks divide a network's only one");
  const ValueId whole = g.outputs()[0];
  const TensorType type = g.value(whole).tensor();
  if (type.rank() != 2 || !type.dims[1].known() || type.dims[1].value() % tasks != 0)
    throw bad_input(g.name, "answers with " + to_string(type) + ", which cannot be divided into " +
                                std::to_string(tasks) + " tasks");
  const int64_t each = type.dims[1].value() / tasks;
  Builder b(g);
  Values results;
  for (int64_t t = 0; t < tasks; ++t) {
    results.push_back(
        b.one("Slice", {whole, b.ints({t * each}), b.ints({(t + 1) * each}), b.ints({1})}));
    g.rename(results.back(), "task" + std::to_string(t));
  }
  g.set_outputs(results);
  return g;
}

namespace {

constexpr int kReserve = -1, kNobody = -2;

/// The axes of one parameter: to whom each position belongs. kNobody: to no unit.
struct ParameterAxes {
  std::string name;
  Shape shape;
  std::vector<int32_t> to;    ///< groups along the axis that produces; empty: none do
  std::vector<int32_t> from;  ///< groups along the axis that reads; empty: none do
  int to_axis = -1, from_axis = -1;
};

}  // namespace

struct LifelongLearner::Impl {
  Graph network;
  int64_t tasks = 0;
  LifelongPolicy policy;
  uint64_t seed = 0;
  AxisClasses classes;
  std::vector<int> owner;  ///< of each flat group: a task, or kReserve
  std::vector<ParameterAxes> parameters;
  std::map<std::string, Tensor> first;  ///< values before anything was learned: what units start as
  int64_t present = 0;                  ///< task being learned, or the next one

  Impl(const Graph& g, const Shape& sample, int64_t n, LifelongPolicy p, uint64_t s)
      : network(g), tasks(n), policy(p), seed(s) {
    policy.check("lifelong learning");
    for (ValueId v : network.constants())
      if (network.value(v).role == Role::kBuffer)
        throw unsupported(network.name,
                          "follows statistics of batches ('" + network.value(v).name +
                              "'), which units of all tasks share",
                          "use a network without batch normalisation");
    Shape one = {1};
    one.insert(one.end(), sample.begin(), sample.end());
    classes = axis_classes(network, {&one, 1});
    if (classes.group_count() == 0)
      throw unsupported(network.name, "has no units that could be recruited by themselves");
    for (const AxisClass& c : classes.classes)
      if (!c.silenceable())
        throw unsupported(network.name, "has units that do not stand by themselves: " + c.name +
                                            ": " + c.obstacle());
    owner.assign(classes.group_count(), kReserve);
    read_axes();
    for (const ParameterAxes& a : parameters)
      first[a.name] = network.value(network.find(a.name)).constant->clone();
    std::map<std::string, Tensor> silent;
    for (const ParameterAxes& a : parameters) {
      Tensor t = first.at(a.name).clone();
      each_element(a, [&](int64_t i, int to, int from) {
        if (to == kReserve || from == kReserve) t.mutable_data<float>()[i] = 0;
      });
      silent[a.name] = t;
    }
    network = with_values(network, silent);
  }

  void read_axes() {
    const Graph& g = classes.graph;
    std::map<std::string, ParameterAxes> all;
    for (ValueId v : network.constants())
      if (network.value(v).role == Role::kParameter)
        all[network.value(v).name] = {
            network.value(v).name, network.value(v).constant->shape(), {}, {}, -1, -1};
    int32_t flat = 0;
    for (const AxisClass& c : classes.classes)
      for (const AxisGroup& group : c.groups) {
        for (const AxisSlice& slice : group.slices) {
          const auto it = all.find(g.value(slice.value).name);
          if (it == all.end()) continue;
          ParameterAxes& a = it->second;
          int& axis = slice.produces ? a.to_axis : a.from_axis;
          std::vector<int32_t>& groups = slice.produces ? a.to : a.from;
          if (groups.empty()) groups.assign(size_t(a.shape[size_t(slice.axis)]), -1);
          if (axis >= 0 && axis != slice.axis)
            throw unsupported(network.name, "reads '" + a.name + "' along two axes of units");
          axis = slice.axis;
          for (int64_t p : slice.positions) groups[size_t(p)] = flat;
        }
        ++flat;
      }
    for (auto& [name, a] : all) parameters.push_back(std::move(a));
  }

  int owner_of(int32_t group) const { return group < 0 ? kNobody : owner[size_t(group)]; }

  /// body(index, owner of the unit it leads into, owner of the unit it comes from).
  template <class Body>
  void each_element(const ParameterAxes& a, Body body) const {
    const int64_t n = numel(a.shape);
    const std::vector<int64_t> strides = strides_of(a.shape);
    for (int64_t i = 0; i < n; ++i) {
      const auto at = [&](int axis, const std::vector<int32_t>& groups) {
        if (axis < 0) return kNobody;
        return owner_of(groups[size_t(i / strides[size_t(axis)] % a.shape[size_t(axis)])]);
      };
      body(i, at(a.to_axis, a.to), at(a.from_axis, a.from));
    }
  }

  std::vector<size_t> groups_of(size_t cls, int who) const {
    std::vector<size_t> found;
    for (size_t k = 0; k < classes.classes[cls].groups.size(); ++k)
      if (owner[size_t(classes.flat(cls, k))] == who) found.push_back(k);
    return found;
  }

  /// Units of the reserve, of every class: `part` of the present task's share, at least one where
  /// there is any. Their weights start as in an untrained network.
  int64_t recruit(double part) {
    std::vector<bool> fresh(owner.size(), false);
    int64_t recruited = 0;
    for (size_t c = 0; c < classes.classes.size(); ++c) {
      const std::vector<size_t> idle = groups_of(c, kReserve);
      const double share = double(idle.size() + groups_of(c, int(present)).size()) /
                           double(std::max<int64_t>(1, tasks - present));
      const auto own = double(groups_of(c, int(present)).size());
      const auto most = int64_t(std::max(0.0, std::floor(share + 1e-9) - own));
      const auto wanted = int64_t(std::ceil(part * share));
      const int64_t n = std::clamp<int64_t>(std::min(wanted, std::max<int64_t>(most, own == 0)), 0,
                                            int64_t(idle.size()));
      for (int64_t k = 0; k < n; ++k) {
        const auto flat = size_t(classes.flat(c, idle[size_t(k)]));
        owner[flat] = int(present);
        fresh[flat] = true;
        ++recruited;
      }
    }
    if (recruited == 0) return 0;
    std::map<std::string, Tensor> values;
    for (const ParameterAxes& a : parameters) {
      Tensor t = network.value(network.find(a.name)).constant->clone();
      const std::vector<int64_t> strides = strides_of(a.shape);
      each_element(a, [&](int64_t i, int to, int from) {
        if (to != int(present) || a.to.empty()) return;
        const int32_t group =
            a.to[size_t(i / strides[size_t(a.to_axis)] % a.shape[size_t(a.to_axis)])];
        const bool joined = from == kNobody || from == int(present);
        const bool before = from >= 0 && from < int(present) && policy.forward < kFrozen;
        if (fresh[size_t(group)] && (joined || before))
          t.mutable_data<float>()[i] = float(first.at(a.name).at(i));
      });
      values[a.name] = t;
    }
    network = with_values(network, values);
    return recruited;
  }

  /// What the policy says of each weight now.
  Consolidation strengths() const {
    Consolidation all = unconsolidated(network);
    for (const ParameterAxes& a : parameters) {
      Hold& hold = all.at(a.name);
      float* strength = hold.strength.mutable_data<float>();
      Tensor anchor = hold.anchor.clone();
      const bool into_units = !a.to.empty();
      each_element(a, [&](int64_t i, int to, int from) {
        const auto zero = [&](double s) {
          strength[i] = float(s);
          anchor.mutable_data<float>()[i] = 0;
        };
        if (to == kReserve || from == kReserve) return zero(kFrozen);
        if (!into_units || to == kNobody) return;
        if (to == int(present)) {
          if (from >= 0 && from < int(present)) zero(policy.forward);
        } else if (from == int(present)) {
          zero(kFrozen);
        } else {
          strength[i] = float(policy.old);
        }
      });
      hold.anchor = anchor;
    }
    return all;
  }

  /// Sends back units of the present task, weakest first, as far as validation allows.
  void prune(const Dataset& val, const TrainOptions& options) {
    std::vector<std::pair<double, size_t>> order;
    std::map<int32_t, std::pair<double, double>> norms;  // squares of what leads into it, and out
    for (const ParameterAxes& a : parameters) {
      const Tensor& t = *network.value(network.find(a.name)).constant;
      const std::vector<int64_t> strides = strides_of(a.shape);
      for (int64_t i = 0; i < t.size(); ++i) {
        const auto group = [&](int axis, const std::vector<int32_t>& groups) {
          return axis < 0 ? -1 : groups[size_t(i / strides[size_t(axis)] % a.shape[size_t(axis)])];
        };
        const double square = t.at(i) * t.at(i);
        if (const int32_t k = group(a.to_axis, a.to); k >= 0) norms[k].first += square;
        if (const int32_t k = group(a.from_axis, a.from); k >= 0) norms[k].second += square;
      }
    }
    for (size_t c = 0; c < classes.classes.size(); ++c) {
      std::vector<size_t> own = groups_of(c, int(present));
      double sum = 0;
      const auto weight = [&](size_t k) {
        const auto& [in, out] = norms[classes.flat(c, k)];
        return std::sqrt(in * out);
      };
      for (size_t k : own) sum += weight(k);
      std::ranges::sort(own, {}, weight);
      // The strongest unit of a layer stays: without any, nothing reaches the results.
      for (size_t k = 0; k + 1 < own.size(); ++k)
        order.emplace_back(weight(own[k]) / std::max(sum, 1e-30) * double(own.size()),
                           size_t(classes.flat(c, own[k])));
    }
    std::ranges::sort(order);
    const auto without = [&](size_t n) {
      const std::vector<int> kept = owner;
      for (size_t k = 0; k < n; ++k) owner[order[k].second] = kReserve;
      std::map<std::string, Tensor> values;
      for (const ParameterAxes& a : parameters) {
        Tensor t = network.value(network.find(a.name)).constant->clone();
        each_element(a, [&](int64_t i, int to, int from) {
          if (to == kReserve || from == kReserve) t.mutable_data<float>()[i] = 0;
        });
        values[a.name] = t;
      }
      owner = kept;
      return with_values(network, values);
    };
    const auto accuracy = [&](const Graph& g) {
      return evaluate(g, val, options.loss, options.eval_batch, options.output).accuracy;
    };
    const double least = accuracy(network) - policy.tolerance;
    size_t low = 0, high = order.size() + 1;  // low is allowed, high is not
    while (high - low > 1) {
      const size_t middle = (low + high) / 2;
      (accuracy(without(middle)) >= least ? low : high) = middle;
    }
    network = without(low);
    for (size_t k = 0; k < low; ++k) owner[order[k].second] = kReserve;
  }
};

namespace {

/// Recruits more units while accuracy is not enough.
class Growing : public TrainHook {
 public:
  explicit Growing(std::function<void(Trainer&, const EpochReport&)> after)
      : after_(std::move(after)) {}
  void after_epoch(Trainer& trainer, const EpochReport& e) override { after_(trainer, e); }

 private:
  std::function<void(Trainer&, const EpochReport&)> after_;
};

}  // namespace

LifelongLearner::LifelongLearner(const Graph& network, const Shape& sample, int64_t tasks,
                                 LifelongPolicy policy, uint64_t seed)
    : impl_(std::make_unique<Impl>(network, sample, tasks, policy, seed)) {}
LifelongLearner::~LifelongLearner() = default;

void LifelongLearner::learn(std::shared_ptr<const Dataset> train,
                            std::shared_ptr<const Dataset> val, TrainOptions options) {
  Impl& m = *impl_;
  if (m.present >= m.tasks)
    throw bad_input(m.network.name, "has learned all of its " + std::to_string(m.tasks) + " tasks");
  if (options.optimizer.weight_decay != 0)
    throw bad_input("lifelong learning", "does not go together with weight decay",
                    "set weight_decay: 0");
  ESP_CHECK(val != nullptr, "growing and pruning need validation");
  options.output = "task" + std::to_string(m.present);
  m.recruit(m.policy.at_first);
  ConsolidationHook holding(m.strengths());
  Growing growing([&](Trainer& trainer, const EpochReport& e) {
    if (e.val_accuracy >= m.policy.enough || e.epoch >= options.epochs) return;
    std::map<std::string, Tensor> now;
    for (const ParameterAxes& a : m.parameters) now[a.name] = trainer.state(a.name);
    m.network = with_values(m.network, now);
    if (m.recruit(m.policy.at_first) == 0) return;
    for (const ParameterAxes& a : m.parameters)
      trainer.set_state(a.name, *m.network.value(m.network.find(a.name)).constant);
    holding.change(trainer, m.strengths());
  });
  Trainer trainer(m.network, std::move(train), val, options, {}, {&holding, &growing});
  trainer.train();
  std::map<std::string, Tensor> learned;
  for (const ParameterAxes& a : m.parameters) learned[a.name] = trainer.state(a.name);
  m.network = with_values(m.network, learned);
  m.prune(*val, options);
  ++m.present;
}

const Graph& LifelongLearner::network() const { return impl_->network; }
int64_t LifelongLearner::learned() const { return impl_->present; }

UnitCounts LifelongLearner::units() const {
  UnitCounts n;
  n.of_task.assign(size_t(impl_->tasks), 0);
  for (int who : impl_->owner) ++(who == kReserve ? n.reserve : n.of_task[size_t(who)]);
  return n;
}

}  // namespace espalier
