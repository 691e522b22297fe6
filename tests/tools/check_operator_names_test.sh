#!/usr/bin/env bash
source "$(dirname "$0")/house.sh"

passes check_operator_names
put src/bind/pointwise.cpp 'table.add("Relu", run);'
put src/onnx/adapters.cpp 'if (name == "Relu") {}'
put src/passes/lower.cpp 'b.one("Relu", {x});  // "Relu"' 'b.op(leaky ? "LeakyRelu" : "Relu", {x});' \
  'auto y = b.one(' '    "LeakyRelu", {b.one("Relu", {x})});' 'say("Reluctant", "relu");' \
  'title("Relu");  // not an operator'
passes check_operator_names

put src/passes/lower.cpp 'int x;' 'if (node.name() == "LeakyRelu") {}'
fails_with check_operator_names 'src/passes/lower.cpp:2: names the operator LeakyRelu'
put src/passes/lower.cpp 'static const std::set<std::string> kSafe = {"espalier.Relu"};'
fails_with check_operator_names 'lower.cpp:1: names the operator Relu'
put src/passes/lower.cpp 'b.one("Relu", {"LeakyRelu"});'
fails_with check_operator_names 'lower.cpp:1: names the operator LeakyRelu'
put src/passes/lower.cpp 'b.one(' '    "Relu",' '    name == "Relu");'
fails_with check_operator_names 'lower.cpp:3: names the operator Relu'
rm "$house/src/passes/lower.cpp"
put src/ops/registry.cpp 'find("Relu");'
fails_with check_operator_names 'src/ops/registry.cpp:1'
