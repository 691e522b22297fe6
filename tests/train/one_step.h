// What one step of a rule does to a small network.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>

#include "ir/verify.h"
#include "tests/train/networks.h"
#include "train/step_session.h"

namespace espalier::testing {

/// Plain gradient descent.
inline StepOptions options_of(const Shape& input, Rule rule) {
  StepOptions o;
  o.input = input;
  o.rule = std::move(rule);
  o.optimizer = {"sgd", {{"momentum", 0}}, 0};
  o.seed = 7;
  return o;
}

inline Batch batch_of(const Shape& input, int64_t classes) {
  Tensor labels(DType::i64, {input[0]});
  for (int64_t i = 0; i < labels.size(); ++i) labels.mutable_data<int64_t>()[i] = i % classes;
  return {random_tensor(input, "batch", 1), labels};
}

/// What one step at rate 1 takes off each parameter.
struct Taken {
  StepGraph graph;
  std::map<std::string, Tensor> gradients;

  /// The constant of that name.
  Tensor fixed(const std::string& name) const {
    return *graph.graph.value(graph.graph.find(name)).constant;
  }
};

inline Taken taken(const Graph& network, const StepOptions& o, const Batch& batch) {
  Taken t;
  t.graph = build_training_step(network, o);
  EXPECT_EQ(violation(t.graph.graph), "");
  StepSession session(t.graph);
  session.run(batch, 1, 1);
  for (const StepParameter& p : t.graph.parameters) {
    Tensor g = t.graph.initial.at(p.name).clone();
    const Tensor after = session.state(p.name);
    for (int64_t e = 0; e < g.size(); ++e) g.mutable_data<float>()[e] -= after.data<float>()[e];
    t.gradients[p.name] = g;
  }
  return t;
}

}  // namespace espalier::testing
