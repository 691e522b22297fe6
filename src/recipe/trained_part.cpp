#include "recipe/trained_part.h"

#include <algorithm>

#include "base/error.h"
#include "base/formatted.h"
#include "base/log.h"
#include "compress/calibrate.h"
#include "ir/count.h"
#include "recipe/at_line.h"
#include "train/condition.h"

namespace espalier {
namespace {

constexpr int64_t kMany = 1'000'000'000;

/// A text, or a list of texts.
std::vector<std::string> read_patterns(const Yaml* part) {
  std::vector<std::string> patterns;
  if (!part) return patterns;
  if (part->is_scalar()) return {part->text()};
  for (const Yaml& item : part->items()) patterns.push_back(item.text());
  if (patterns.empty()) part->fail("is an empty list");
  return patterns;
}

Filter read_filter(const Yaml& part) {
  if (part.is_scalar()) return {.names = {part.text()}};
  Fields fields(part, "only");
  Filter f;
  f.names = read_patterns(fields.find("names"));
  f.except = read_patterns(fields.find("except"));
  f.biases = fields.boolean("biases", false);
  f.norms = fields.boolean("norms", false);
  f.last_layers = fields.integer("last_layers", 0, 1, kMany);
  fields.done();
  return f;
}

Selection read_selection(const Yaml& part) {
  if (!part.is_list()) return {read_filter(part)};
  Selection selection;
  for (const Yaml& item : part.items()) selection.push_back(read_filter(item));
  if (selection.empty()) part.fail("names nothing to train");
  return selection;
}

}  // namespace

NormRules read_norm_rules(const Yaml& part) {
  const auto read = [](const Yaml& rule) {
    NormRule r;
    const std::vector<std::string>& modes = norm_mode_names();
    if (rule.is_scalar()) {
      const auto mode = std::ranges::find(modes, rule.text());
      if (mode == modes.end())
        rule.fail("there is no mode '" + rule.text() + "'", suggestion(rule.text(), modes));
      r.mode = NormMode(mode - modes.begin());
      return r;
    }
    Fields fields(rule, "batch_norm");
    fields.require("mode");
    r.mode = NormMode(fields.choice("mode", 0, modes));
    r.names = read_patterns(fields.find("names"));
    fields.done();
    return r;
  };
  if (!part.is_list()) return {read(part)};
  NormRules rules;
  for (const Yaml& rule : part.items()) rules.push_back(read(rule));
  if (rules.empty()) part.fail("is an empty list");
  return rules;
}

AdapterSpec read_adapter(const Yaml& part) {
  AdapterSpec spec;
  const std::vector<std::string> names = adapter_names();
  if (part.is_scalar()) {
    spec.kind = part.text();
    at_line(part, [&] { find_adapter(spec.kind); });
    return spec;
  }
  Fields fields(part, "adapt");
  fields.require("kind");
  spec.kind = names[fields.choice("kind", 0, names)];
  spec.targets = read_patterns(fields.find("targets"));
  spec.also = read_patterns(fields.find("also"));
  const AdapterUnit& unit = find_adapter(spec.kind);
  if (!unit.starts.empty()) {
    const std::vector<std::string> starts(unit.starts.begin(), unit.starts.end());
    spec.start = starts[fields.choice("start", 0, starts)];
  }
  for (const Setting& s : unit.settings) {
    if (!fields.find(s.name)) continue;
    spec.settings[s.name] = s.flag ? double(fields.boolean(s.name, s.fallback != 0))
                                   : fields.number(s.name, s.fallback, s.least, s.most);
  }
  fields.done();
  return spec;
}

TrainedPart read_trained_part(Fields& training) {
  TrainedPart part;
  const Yaml* only = training.find("only");
  const Yaml* adapt = training.find("adapt");
  const Yaml* generate = training.find("generate");
  if (generate && (only || adapt))
    generate->fail("a generator makes weights that only and adapt would choose",
                   "generate: {targets: [...]} says which are generated");
  if (only && adapt)
    adapt->fail("only and adapt do not go together: an adapter leaves the network as it is",
                "adapt: {also: [...]} trains parameters beside it");
  if (only) {
    part.only = read_selection(*only);
    part.place = *only;
  }
  if (adapt) {
    part.adapt = read_adapter(*adapt);
    part.place = *adapt;
  }
  if (generate) {
    part.generate = read_generate(*generate);
    part.place = *generate;
  }
  part.frozen_on_integers = training.choice("frozen", 0, {"float", "int8"}) == 1;
  if (const Yaml* frozen = training.find("frozen"); frozen && !only && !adapt)
    frozen->fail("frozen is of what only or adapt leave as it is", "say what is trained by only");
  return part;
}

void check_together(const TrainedPart& trained, const TrainOptions& o, const Yaml* by_width) {
  if (by_width && trained.adapt)
    by_width->fail(
        "parametrization and adapt do not go together: an adapter is trained beside a "
        "network that has its weights");
  if (!trained.generate) return;
  if (by_width)
    by_width->fail(
        "parametrization and generate do not go together: what is trained is the generator, whose "
        "widths it does not know");
  if (!o.norms.empty()) trained.place.fail("generate and batch_norm do not go together");
  if (!o.rule.backpropagates())
    trained.place.fail("generate needs the rule backprop, not '" + o.rule.kind +
                       "': its layers' weights are results of one generator");
}

Graph PreparedNetwork::merged(const Graph& trained_graph) const {
  std::map<std::string, Tensor> values;
  for (ValueId v : trained_graph.constants())
    if (const Value& value = trained_graph.value(v); value.role != Role::kNone)
      values[value.name] = *value.constant;
  if (hypernetwork)
    return hypernetwork->with_condition_input(with_values(hypernetwork->graph(), values));
  const Graph whole = frozen ? with_values(floats, values) : trained_graph;
  return adapter ? adapter->merged(whole) : whole;
}

namespace {

void freeze_on_integers(PreparedNetwork& p, const AdapterInput& input, DType precision) {
  constexpr int64_t kSamples = 256;
  constexpr double kMostError = 0.05;
  if (!input.data)
    throw unsupported("frozen: int8", "is calibrated on data, which are not read here",
                      "quantize the network first, or leave frozen out");
  p.floats = p.graph;
  p.frozen =
      frozen_on_integers(p.graph, *p.trained, calibration_batches(p.graph, *input.data, kSamples),
                         kMostError, precision);
  p.graph = std::move(p.frozen->network);
  const int64_t layers = p.frozen->layers, all = layers + p.frozen->in_floats;
  log_info(p.graph.name + formatted(": %lld of %lld frozen layers run in 8 bits, %.2g %% off in "
                                    "what the trained part reads",
                                    (long long)layers, (long long)all,
                                    100 * p.frozen->relative_error));
}

}  // namespace

PreparedNetwork prepared_network(Graph network, const TrainedPart& part,
                                 std::shared_ptr<const Dataset> data, uint64_t seed,
                                 DType precision) {
  const Shape sample = data->sample_shape();
  return prepared_network(std::move(network), part, {sample, std::move(data), seed}, precision);
}

PreparedNetwork prepared_network(Graph network, const TrainedPart& part, const AdapterInput& input,
                                 DType precision) {
  PreparedNetwork p;
  for (ValueId v : network.constants()) p.network_elements += learned_elements(network.value(v));
  p.trained_elements = p.network_elements;
  if (part.everything()) {
    p.graph = std::move(network);
    return p;
  }
  if (part.generate) {
    at_line(part.place, [&] {
      if (!input.data)
        throw unsupported("generate", "draws a condition at each step, which is not done here",
                          "train with espalier train and export the network");
      p.hypernetwork = std::make_shared<Hypernetwork>(network, part.generate->spec, input.seed);
      p.graph = with_turned_input(p.hypernetwork->graph(), part.generate->from, part.generate->to);
    });
    p.trained_elements = p.hypernetwork->learned_elements();
    return p;
  }
  at_line(part.place, [&] {
    if (part.adapt) {
      if (!input.data && part.adapt->start == "activations")
        throw unsupported("start: activations", "looks at data, which is not read here",
                          "choose another start");
      p.adapter = adapted(network, *part.adapt, input);
      p.graph = p.adapter->graph;
      p.trained = p.adapter->trained;
    } else {
      p.trained = selected_parameters(network, part.only);
      p.graph = std::move(network);
    }
  });
  p.trained_elements = 0;
  for (const std::string& name : *p.trained)
    p.trained_elements += p.graph.value(p.graph.find(name)).constant->size();
  if (part.frozen_on_integers)
    at_line(part.place, [&] { freeze_on_integers(p, input, precision); });
  return p;
}

}  // namespace espalier
