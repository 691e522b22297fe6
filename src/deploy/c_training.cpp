#include "deploy/c_training.h"

#include <algorithm>

#include "base/error.h"
#include "ir/builder.h"
#include "ir/interpret.h"

namespace espalier {
namespace {

/// The step's number becomes a state that counts by itself, where anybody reads it.
void count_steps(StepGraph& s) {
  Graph& g = s.graph;
  if (g.users()[size_t(s.step)].empty()) {
    g.erase_input(s.step);
    return;
  }
  const ValueId next = Builder(g).add(s.step, 1.0);
  const NodeId counting = g.value(next).producer;
  g.replace_uses(s.step, next);
  g.mutable_node(counting).inputs[0] = s.step;
  g.add_state(s.step, next);
  s.initial[g.value(s.step).name] = Tensor::scalar(int64_t{0});
  g.sort();
}

/// The network for a batch, what is a state of the step read from there.
Graph with_states(const Graph& network, const std::map<std::string, Tensor>& states,
                  const Shape& sample, int64_t batch) {
  Graph g = network;
  for (ValueId v : network.constants()) {
    const std::string name = network.value(v).name;
    if (!states.contains(name)) continue;
    const ValueId input = g.add_input(g.fresh_name(name), g.value(v).type);
    g.replace_uses(v, input);
    g.erase_value(v);
    g.rename(input, name);
    g.mutable_value(input).role = network.value(v).role;
  }
  std::vector<Shape> shapes = {sample};
  if (!g.value(g.inputs()[0]).tensor().dims[0].known()) shapes[0][0] = batch;
  for (size_t i = 1; i < g.inputs().size(); ++i)
    shapes.push_back(g.value(g.inputs()[i]).tensor().shape());
  return specialised(g, shapes);
}

}  // namespace

CTraining add_training(CFile& file, const Graph& network, StepGraph s, int64_t batch) {
  if (s.estimator)
    throw unsupported("the step",
                      "takes gradients that are estimated beside it, C has no form of that",
                      "choose another rule");
  const Shape sample = s.graph.value(s.input).tensor().shape();
  CTraining training;
  training.optimizer_bytes = s.optimizer_bytes;
  for (const StepParameter& p : s.parameters) training.trained += s.initial.at(p.name).size();
  s.graph.rename(s.loss, s.graph.fresh_name("loss"));
  s.graph.set_outputs({s.loss});
  s.graph.erase_dead();
  count_steps(s);
  const Graph run = with_states(network, s.initial, sample, batch);
  // Parameters first: what is saved of an arena may end behind them.
  for (const StepParameter& p : s.parameters) file.keep(p.name, s.initial.at(p.name));
  for (const auto& [name, first] : s.initial)
    if (std::ranges::find(s.parameters, name, &StepParameter::name) == s.parameters.end())
      file.keep(name, first);
  training.step = file.add(s.graph, file.stem() + "_step");
  training.run = file.add(run, file.stem() + "_run");
  return training;
}

}  // namespace espalier
