#include "runtime/eager.h"

#include <algorithm>

#include "base/error.h"
#include "ir/builder.h"
#include "ir/reference.h"
#include "ir/room.h"

namespace espalier {

struct EagerProgram::Step {
  NodeId node = kNoNode;
  std::vector<EagerProgram> bodies;
  /// By the shapes of the operands; without a session the reference runs.
  std::map<std::vector<Shape>, std::unique_ptr<Session>> sessions;
};

namespace {

/// The node alone. Its constants stay constants: packing weights once is not what eager means.
Graph alone(const Graph& g, NodeId id, const std::vector<const Datum*>& operands) {
  const Node& n = g.node(id);
  Graph one;
  one.name = describe(g, id);
  Values inputs;
  for (size_t i = 0; i < n.inputs.size(); ++i) {
    const ValueId v = n.inputs[i];
    if (v == kNoValue)
      inputs.push_back(kNoValue);
    else if (const ValueId known = one.find(g.value(v).name); known != kNoValue)
      inputs.push_back(known);
    else if (g.is_constant(v))
      inputs.push_back(one.add_constant(g.value(v).name, *g.value(v).constant));
    else
      inputs.push_back(one.add_input(g.value(v).name, operands[i]->type()));
  }
  Builder b(one);
  b.op(*n.room, n.attrs, inputs, n.name);
  one.drop_results(one.order().back(), n.outputs.size());
  one.set_outputs(one.node(one.order().back()).outputs);
  return one;
}

bool has_program(const Graph& one) {
  return std::ranges::all_of(one.outputs(),
                             [&](ValueId v) { return one.value(v).type.is_static(); });
}

}  // namespace

EagerProgram::EagerProgram(Graph graph, const CompileOptions& options)
    : graph_(std::move(graph)), options_(options) {
  for (NodeId id : graph_.order()) {
    Step step;
    step.node = id;
    const Node& n = graph_.node(id);
    if (n.room->control)
      for (const GraphRef& body : n.room->control->bodies(n.attrs))
        step.bodies.emplace_back(body->compacted(), options);
    steps_.push_back(std::move(step));
  }
}
EagerProgram::~EagerProgram() = default;
EagerProgram::EagerProgram(EagerProgram&&) noexcept = default;

std::vector<Datum> EagerProgram::run(std::span<const Datum> inputs) {
  std::vector<Datum> values(graph_.value_count());
  for (size_t i = 0; i < inputs.size(); ++i) values[size_t(graph_.inputs()[i])] = inputs[i];
  for (ValueId v : graph_.constants()) values[size_t(v)] = *graph_.value(v).constant;
  for (Step& step : steps_) {
    const Node& n = graph_.node(step.node);
    std::vector<const Datum*> operands;
    for (ValueId v : n.inputs) operands.push_back(v == kNoValue ? nullptr : &values[size_t(v)]);
    std::vector<Datum> results;
    if (n.room->control) {
      ControlCall call;
      call.where = describe(graph_, step.node);
      call.operands = operands;
      call.results = [&] { return types_for(*n.room, n.attrs, operands, call.where); };
      call.body = [&](size_t i, const std::vector<Datum>& given) {
        return step.bodies[i].run(given);
      };
      results = n.room->control->run(n.attrs, call);
    } else {
      std::vector<Shape> key;
      std::vector<Tensor> feed;
      bool tensors = true;
      for (size_t i = 0; i < operands.size(); ++i) {
        tensors = tensors && (!operands[i] || operands[i]->is_tensor());
        if (!operands[i] || !operands[i]->is_tensor() || graph_.is_constant(n.inputs[i])) continue;
        const bool again = std::find(n.inputs.begin(), n.inputs.begin() + std::ptrdiff_t(i),
                                     n.inputs[i]) != n.inputs.begin() + std::ptrdiff_t(i);
        if (again) continue;
        key.push_back(operands[i]->tensor().shape());
        feed.push_back(operands[i]->tensor());
      }
      auto found = step.sessions.find(key);
      if (found == step.sessions.end()) {
        std::unique_ptr<Session> made;
        if (tensors)
          if (const Graph one = alone(graph_, step.node, operands); has_program(one))
            made = std::make_unique<Session>(compile(one, options_));
        found = step.sessions.emplace(std::move(key), std::move(made)).first;
      }
      if (found->second)
        for (Tensor& t : found->second->run(feed)) results.emplace_back(std::move(t));
      else
        results = run_reference(*n.room, n.attrs, operands, describe(graph_, step.node));
    }
    for (size_t o = 0; o < n.outputs.size(); ++o)
      if (n.outputs[o] != kNoValue) values[size_t(n.outputs[o])] = std::move(results.at(o));
  }
  std::vector<Datum> outputs;
  for (ValueId v : graph_.outputs()) outputs.push_back(values[size_t(v)]);
  return outputs;
}

}  // namespace espalier
