#include "recipe/tuning.h"

#include <algorithm>
#include <charconv>
#include <numeric>

#include "base/error.h"
#include "train/divergence.h"
#include "train/trained_step.h"

namespace espalier {
namespace {

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  size_t from = 0;
  for (size_t end; (end = text.find(at, from)) != std::string::npos; from = end + 1)
    parts.push_back(text.substr(from, end - from));
  parts.push_back(text.substr(from));
  return parts;
}

double number_of(const std::string& text, const std::string& method) {
  double value = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text == "true" || text == "false") return text == "true";
  if (end.ec != std::errc() || end.ptr != text.data() + text.size())
    throw usage_error("method '" + method + "'", "'" + text + "' is no number");
  return value;
}

double median(std::vector<float> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + std::ptrdiff_t(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

PreparedNetwork prepared_for(const TuningTask& task, const TuningMethod& method) {
  return prepared_network(deployed(task.network, task.training.norms), method.part, task.train,
                          task.training.seed, task.training.precision);
}

}  // namespace

TuningMethod parse_tuning_method(const std::string& text) {
  TuningMethod m{text, {}};
  const size_t colon = text.find(':');
  const std::string kind = text.substr(0, colon);
  std::vector<std::pair<std::string, std::string>> settings;
  if (colon != std::string::npos)
    for (const std::string& part : split(text.substr(colon + 1), ',')) {
      const size_t equals = part.find('=');
      if (equals == std::string::npos || equals == 0)
        throw usage_error("method '" + text + "'", "'" + part + "' is no setting",
                          "settings are written lora:rank=4,start=weights");
      settings.emplace_back(part.substr(0, equals), part.substr(equals + 1));
    }
  const auto unknown = [&](const std::string& key, const std::vector<std::string>& known) {
    return usage_error("method '" + text + "'", "has no setting '" + key + "'",
                       suggestion(key, known));
  };
  if (kind == "full") {
    if (!settings.empty()) throw unknown(settings[0].first, {});
    return m;
  }
  m.part.place = Yaml::argument(text, "method " + text, Yaml());
  if (kind == "head" || kind == "only") {
    Filter f;
    if (kind == "head") f.last_layers = 1;
    for (const auto& [key, value] : settings) {
      if (key == "layers")
        f.last_layers = int64_t(number_of(value, text));
      else if (key == "names")
        f.names = split(value, '+');
      else if (key == "biases")
        f.biases = number_of(value, text) != 0;
      else if (key == "norms")
        f.norms = number_of(value, text) != 0;
      else
        throw unknown(key, {"layers", "names", "biases", "norms"});
    }
    m.part.only = {f};
    return m;
  }
  std::vector<std::string> kinds = adapter_names();
  kinds.insert(kinds.begin(), {"full", "head", "only"});
  if (std::ranges::find(kinds, kind) == kinds.end())
    throw usage_error("method '" + text + "'", "is not known", suggestion(kind, kinds));
  AdapterSpec spec;
  spec.kind = kind;
  std::vector<std::string> known = {"at", "also", "start"};
  for (const Setting& s : find_adapter(kind).settings) known.emplace_back(s.name);
  for (const auto& [key, value] : settings) {
    if (key == "at")
      spec.targets = split(value, '+');
    else if (key == "also")
      spec.also = split(value, '+');
    else if (key == "start")
      spec.start = value;
    else if (std::ranges::find(known, key) != known.end())
      spec.settings[key] = number_of(value, text);
    else
      throw unknown(key, known);
  }
  spec.check("method '" + text + "'");
  m.part.adapt = std::move(spec);
  return m;
}

TuningOutcome tuned(const TuningTask& task, const TuningMethod& method, double rate) {
  const PreparedNetwork network = prepared_for(task, method);
  TrainOptions o = task.training;
  o.trained = network.trained;
  o.schedule.peak = rate;
  o.name = method.name;
  Trainer trainer(network.graph, task.train, task.val, o);
  TuningOutcome out;
  out.history = trainer.train().history;
  if (out.history.empty()) throw bad_input(task.name, "was stopped before an epoch was done");
  out.method = method.name;
  out.rate = rate;
  out.trained = network.trained_elements;
  out.parameters = network.network_elements;
  out.memory = trainer.memory();
  out.optimizer_bytes = trainer.optimizer_bytes();
  out.step_ms = median(trainer.step_ms());
  out.network = network.merged(trainer.network());
  out.merged = !network.adapter || network.adapter->mergeable;
  if (task.test) out.tested = evaluate(out.network, *task.test, o.loss, o.eval_batch, o.output);
  return out;
}

TuningOutcome tuned_at_best(const TuningTask& task, const TuningMethod& method,
                            const std::vector<double>& rates) {
  std::optional<TuningOutcome> best;
  for (double rate : rates) {
    std::optional<TuningOutcome> now;
    try {
      now = tuned(task, method, rate);
    } catch (const UserError& e) {
      // A rate at which it diverges is a bad one, not the end.
      if (!is_divergence(e) || rates.size() == 1) throw;
      continue;
    }
    if (!best || now->last().val_loss < best->last().val_loss) best = std::move(now);
  }
  if (!best) throw bad_input(method.name, "diverges at every rate", "name smaller rates");
  return std::move(*best);
}

namespace {

template <class Build>
TuningStep step_by(const TuningTask& task, const TuningMethod& method, const Build& build) {
  const PreparedNetwork network = prepared_for(task, method);
  TrainOptions o = task.training;
  o.trained = network.trained;
  o.batch = std::min(o.batch, task.train->size());
  std::vector<int64_t> first(static_cast<size_t>(o.batch));
  std::iota(first.begin(), first.end(), int64_t{0});
  return {build(network.graph, o), task.train->fetch(first)};
}

}  // namespace

TuningStep step_of(const TuningTask& task, const TuningMethod& method) {
  return step_by(task, method, [&](const Graph& network, const TrainOptions& o) {
    return build_training_step(network, step_options(o, *task.train));
  });
}

TuningStep trained_step_of(const TuningTask& task, const TuningMethod& method) {
  return step_by(task, method, [&](const Graph& network, const TrainOptions& o) {
    return trained_step(network, o, *task.train, {}).step;
  });
}

}  // namespace espalier
