// Parameter-efficient fine-tuning: small trained additions to a network that stays as it is
// (Han et al. 2024, arXiv:2403.14608, "Parameter-efficient fine-tuning for large models: a
// comprehensive survey"), as exchangeable units that rewrite the network's graph.
//
// To add one: a file in train/adapters/ with a function `const AdapterUnit& NAME_adapter()`, and
// ESP_ADAPTER(NAME) in train/adapters.inc. Recipes then take it as adapt: {kind: NAME}.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "train/optimizer.h"
#include "train/selection.h"
#include "train/weight_target.h"

namespace espalier {

/// An adapter as it is chosen.
struct AdapterSpec {
  std::string kind = "lora";
  /// Settings that differ from the unit's own values.
  std::map<std::string, double> settings = {};
  /// Where it goes, as patterns over names of parameters; empty: wherever the unit puts it.
  std::vector<std::string> targets = {};
  /// Parameters of the network trained beside it: a new head, say.
  std::vector<std::string> also = {};
  /// How it begins: one of the unit's `starts`; empty: the first.
  std::string start = {};

  std::map<std::string, double> all_settings() const;
  /// "lora,rank=8,…": what a resumed run must agree on.
  std::string text() const;
  /// UserError for an unknown kind, setting or start, or a value outside its bounds.
  void check(const std::string& where) const;
};

/// What units are given besides the network. `data` is read by starts that look at activations.
struct AdapterInput {
  Shape sample;  ///< of one sample, without the batch
  std::shared_ptr<const Dataset> data;
  uint64_t seed = 0;  ///< of first values, and of the samples looked at
};

struct AdaptedNetwork;

/// A network while a unit is put into it.
class Adapting {
 public:
  Adapting(Graph& graph, const AdapterSpec& spec, const AdapterInput& input);

  Graph& graph() { return graph_; }
  Builder builder() { return Builder(graph_); }
  /// The network before the unit, all types known for a batch of two.
  const Graph& typed() const { return typed_; }
  const AdapterSpec& spec() const { return spec_; }
  const AdapterInput& input() const { return input_; }
  double setting(const std::string& name) const { return settings_.at(name); }
  /// Weights that the spec's patterns choose, or all. UserError where a pattern chooses none.
  std::vector<WeightTarget> targets() const;
  /// Whether the spec says where the unit goes.
  bool targeted() const { return !spec_.targets.empty(); }

  /// A new parameter; trained. Normal with that deviation, or zero. The name must be free.
  ValueId parameter(const std::string& name, const Shape& shape, double deviation);
  ValueId parameter(const std::string& name, Tensor first);
  /// A parameter of the network that is trained as well.
  void train(const std::string& name) { trained_.insert(name); }
  /// Every reader of `from` but nodes from `first_new` on reads `to`, which takes its name.
  void replace(ValueId from, ValueId to, NodeId first_new);
  /// The number the next node will have.
  NodeId next_node() const { return NodeId(graph_.node_count()); }
  /// How much a weight is to change when the adapter is merged, from the trained graph's values,
  /// in the order in which its node reads it.
  void merges(const WeightTarget& target, std::function<Tensor(const Graph&)> delta);

 private:
  friend AdaptedNetwork adapted(const Graph&, const AdapterSpec&, const AdapterInput&);
  Graph& graph_;
  const AdapterSpec& spec_;
  const AdapterInput& input_;
  Graph typed_;
  std::map<std::string, double> settings_;
  std::set<std::string> trained_;
  std::vector<std::pair<WeightTarget, std::function<Tensor(const Graph&)>>> deltas_;
};

struct AdapterUnit {
  const char* name;
  const char* paper;
  const char* what;
  std::vector<Setting> settings;
  std::vector<const char*> starts;  ///< what `start` can say; empty: nothing
  bool merges;                      ///< into plain weights
  void (*attach)(Adapting&);
};

std::span<const AdapterUnit* const> adapters();
/// UserError (usage) with the names there are.
const AdapterUnit& find_adapter(const std::string& name);
std::vector<std::string> adapter_names();

/// A network with an adapter in it.
struct AdaptedNetwork {
  Graph graph;
  std::set<std::string> trained;  ///< of its parameters; the others are frozen
  bool mergeable = false;
  /// The plain network that computes what `trained_graph` (the graph above, trained) computes, as
  /// far as the kind can be merged: else the graph itself, whose nodes are plain operators too.
  Graph merged(const Graph& trained_graph) const;

  Graph base;
  std::vector<std::pair<WeightTarget, std::function<Tensor(const Graph&)>>> deltas;
};

/// UserError where the network holds nothing the unit could stand beside.
AdaptedNetwork adapted(const Graph& network, const AdapterSpec& spec, const AdapterInput& input);

}  // namespace espalier
