#include "tests/support/run_op.h"

#include "ir/builder.h"
#include "ir/interpret.h"
#include "ops/catalogue.h"

namespace espalier::testing {

Tensor omitted() { return Tensor(DType::string, {0, 0}); }

std::vector<Tensor> run_op(const std::string& full_name, const std::vector<Tensor>& operands,
                           const AttributeMap& attributes) {
  ops::register_rooms();
  Graph graph;
  Values values;
  std::vector<Tensor> given;
  for (const Tensor& t : operands) {
    if (t.identical(omitted())) {
      values.push_back(kNoValue);
      continue;
    }
    values.push_back(graph.add_input("", TensorType(t.dtype(), t.shape())));
    given.push_back(t);
  }
  Builder builder(graph);
  graph.set_outputs(builder.op(full_name, values, attributes));
  return interpret(graph, given);
}

std::string user_error(const std::function<void()>& body) {
  try {
    body();
  } catch (const UserError& e) {
    return e.what();
  }
  return "(no error)";
}

}  // namespace espalier::testing
