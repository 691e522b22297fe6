#include "fuzz/by_sample.h"

#include "ir/builder.h"
#include "ir/derive.h"
#include "passes/one_sample.h"
#include "runtime/session.h"

namespace espalier::fuzz {
namespace {

bool begins_with(const Type& type, int64_t extent) {
  return type.is_tensor() && type.tensor().rank() > 0 && type.tensor().dims[0].is(extent);
}

struct Batch {
  Graph graph;
  std::vector<Tensor> inputs;
  Expected want;
};

Batch batch_of(const Graph& g, int64_t extent, std::span<const Tensor> inputs,
               const Expected& want) {
  Batch b;
  Builder builder(b.graph);
  Values operands;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Value& v = g.value(g.inputs()[i]);
    if (begins_with(v.type, extent)) {
      operands.push_back(b.graph.add_input(v.name, v.type));
      b.inputs.push_back(inputs[i]);
    } else {
      operands.push_back(builder.constant(inputs[i]));
    }
  }
  const Values results = splice(builder, g, operands);
  for (size_t i = 0; i < results.size(); ++i) {
    if (!begins_with(g.value(g.outputs()[i]).type, extent)) continue;
    b.graph.add_output(results[i]);
    b.want.outputs.push_back(want.outputs[i]);
    b.want.allowed.push_back(want.allowed[i]);
  }
  b.graph.erase_dead();
  return b;
}

}  // namespace

std::optional<std::string> check_by_sample(const Graph& graph, std::span<const Tensor> inputs,
                                           const Expected& want, bool& ran) {
  ran = false;
  if (inputs.empty() || inputs[0].rank() == 0 || inputs[0].shape()[0] < 2) return std::nullopt;
  Batch batch = batch_of(graph, inputs[0].shape()[0], inputs, want);
  if (batch.want.outputs.empty() || !as_samples(batch.graph)) return std::nullopt;
  ran = true;
  Session session(compile(batch.graph, {.threads = 1, .batching = Batching::kSamples}));
  return difference(batch.want, session.run(batch.inputs));
}

}  // namespace espalier::fuzz
