#include "recipe/layer_times.h"

#include <functional>
#include <memory>

#include "base/threads.h"
#include "ir/builder.h"
#include "ir/derive.h"
#include "ir/integer_coding.h"
#include "ir/room.h"
#include "runtime/session.h"

namespace espalier {
namespace {

struct ThreadCount {
  explicit ThreadCount(int n) : before(num_threads()) { set_num_threads(n); }
  ~ThreadCount() { set_num_threads(before); }
  int before;
};

}  // namespace

std::vector<Tensor> pattern_inputs(const Graph& graph) {
  std::vector<Tensor> inputs;
  for (ValueId v : graph.inputs()) {
    Tensor wide(DType::f64, graph.value(v).tensor().shape());
    for (int64_t i = 0; i < wide.size(); ++i)
      wide.mutable_data<double>()[i] = double(i % 17) / 8 - 1;
    inputs.push_back(wide.cast(graph.value(v).tensor().dtype));
  }
  return inputs;
}

std::vector<Timing> time_fixed(std::span<const Graph> graphs, int threads, int rounds) {
  const ThreadCount scope(threads);
  struct Contender {
    Session session;
    std::vector<Tensor> inputs, outputs;
  };
  std::vector<std::unique_ptr<Contender>> contenders;
  std::vector<std::function<void()>> runs;
  for (const Graph& graph : graphs) {
    auto c = std::make_unique<Contender>(
        Contender{Session(compile(graph, {.threads = threads})), pattern_inputs(graph), {}});
    c->outputs = c->session.run(c->inputs);
    runs.push_back([p = c.get()] { p->session.run_into(p->inputs, p->outputs); });
    contenders.push_back(std::move(c));
  }
  return time_alternating(runs, {.rounds = rounds});
}

std::vector<std::string> contraction_names(const Graph& graph, Contractions which) {
  std::vector<std::string> names;
  for (NodeId id : graph.order()) {
    if (graph.node(id).name.empty()) continue;
    const auto form = contraction_form(graph, id);
    if (form && (form->weight >= 0 || which == Contractions::kAll))
      names.push_back(graph.node(id).name);
  }
  return names;
}

std::map<std::string, LayerFacts> layer_facts(const Graph& graph,
                                              const std::vector<std::string>& names, int threads) {
  std::map<std::string, NodeId> by_name;
  for (NodeId id : graph.order()) by_name[graph.node(id).name] = id;
  const ThreadCount scope(threads);
  Session session(compile(graph, {.threads = threads, .profile = true}));
  const auto inputs = pattern_inputs(graph);
  for (int i = 0; i < 30; ++i) session.run(inputs);
  const Profile profile = session.profile();
  std::map<std::string, LayerFacts> layers;
  for (const auto& name : names) {
    const auto it = by_name.find(name);
    if (it == by_name.end()) continue;
    const auto form = contraction_form(graph, it->second);
    if (!form) continue;
    const Node& n = graph.node(it->second);
    LayerFacts facts;
    facts.op = n.room->full_name();
    facts.macs = cost_of(graph, it->second).macs;
    facts.precision = name_of(graph.value(n.outputs[0]).tensor().dtype);
    if (form->weight >= 0) {
      const ValueId w = n.inputs[size_t(form->weight)];
      facts.channels = graph.value(w).tensor().shape()[size_t(form->weight_axis)];
      if (decoded_constant(graph, w) != kNoValue) facts.precision = "int8";
    }
    for (const ProfileEntry& entry : profile.entries)
      if (entry.node.ends_with("'" + name + "'")) facts.ms += entry.median_us() / 1000;
    layers[name] = std::move(facts);
  }
  return layers;
}

}  // namespace espalier
