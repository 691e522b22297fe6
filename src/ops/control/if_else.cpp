// If, ONNX opset 16: the results of one of two bodies, as the condition says. The operands after
// the condition are what the bodies capture; both take all of them.
#include "ir/derive.h"
#include "ops/control/control.h"
#include "ops/emit.h"

namespace espalier::ops {
namespace {

struct If {
  GraphRef then_branch, else_branch;

  const GraphRef& branch(bool condition) const { return condition ? then_branch : else_branch; }
};

Graph typed_branch(const If& a, const TypesIn& in, bool condition) {
  std::vector<Type> captured;
  for (size_t i = 1; i < in.size(); ++i) captured.push_back(in.type(i));
  return typed_body(in, a.branch(condition), condition ? "then_branch" : "else_branch", captured,
                    captured.size());
}

/// The branch that is taken, where that is known.
std::optional<size_t> inlined(const If&, const TypesIn& in) {
  const Tensor* condition = in.constant(0);
  if (!condition) return std::nullopt;
  return decided(*condition, in.where()) ? 0 : 1;
}

Types infer(const If& a, const TypesIn& in) {
  const Type& condition = in.type(0);
  if (element_type_of(condition) != DType::boolean ||
      (condition.is_static() && condition.tensor().numel() != 1))
    in.fail("the condition is " + to_string(condition) + ", one bool is needed", "insert a Cast");
  if (a.then_branch->outputs().size() != a.else_branch->outputs().size())
    in.fail("then_branch gives " + std::to_string(a.then_branch->outputs().size()) +
            " results, else_branch " + std::to_string(a.else_branch->outputs().size()));
  if (const auto taken = inlined(a, in)) return result_types(typed_branch(a, in, *taken == 0));
  Types types = result_types(typed_branch(a, in, true));
  const Types others = result_types(typed_branch(a, in, false));
  for (size_t i = 0; i < types.size(); ++i) {
    auto both = joined(types[i], others[i]);
    if (!both)
      in.fail("result " + std::to_string(i) + " is " + to_string(types[i]) +
              " of then_branch and " + to_string(others[i]) + " of else_branch");
    types[i] = std::move(*both);
  }
  return types;
}

std::vector<Datum> run(const If&, const ControlCall& call) {
  std::vector<Datum> captured;
  for (size_t i = 1; i < call.operands.size(); ++i) captured.push_back(*call.operands[i]);
  return call.body(decided(*call.operands[0], call.where) ? 0 : 1, captured);
}

ControlOf<If> form() {
  return {.bodies =
              [](const If& a) {
                return std::vector<GraphRef>{a.then_branch, a.else_branch};
              },
          .captured = [](const If& a) { return a.then_branch->inputs().size(); },
          .run = run,
          .inlined = inlined};
}

template <class Real>
void reference(const If& a, Ref<Real>& r) {
  run_by_reference(form(), a, "If", r);
}

// That of the dearer branch.
Cost cost(const If& a, const TypesIn& in, const Types& out) {
  const Cost one = cost_of(typed_branch(a, in, true)), other = cost_of(typed_branch(a, in, false));
  return {std::max(one.macs, other.macs), std::max(one.flops, other.flops),
          std::max({one.bytes, other.bytes, traffic(in, out)})};
}

/// y = 2 x, z = x; or y = relu(x), z = x + x.
GraphRef sample_branch(bool first) {
  Graph g;
  g.name = first ? "doubles" : "clips";
  const ValueId x = g.add_input("x", TensorType(DType::f32, Shape{2, 3}));
  Builder b(g);
  g.add_output(first ? b.mul(x, 2.0) : b.one("LeakyRelu", {x}));
  g.add_output(first ? b.one("Identity", {x}) : b.add(x, x));
  return std::make_shared<const Graph>(std::move(g));
}

OperandSpec condition(bool value) {
  OperandSpec s = OperandSpec::fixed(Tensor::scalar(value));
  s.constant = false;
  return s;
}

// Each branch is a function of its own, of which the host runs one.
void emit(const If& a, CWriter& c) {
  const auto operands = operands_in_c(c, 1, c.inputs());
  const auto results = results_in_c(c, 0, c.outputs());
  const std::string condition = c.load(0, "0");
  for (bool taken : {true, false})
    c.block(taken ? "if (" + condition + ")" : "else",
            [&] { emit_body(c, typed_branch(a, c.types(), taken), operands, results); });
}

}  // namespace

const Room& if_else() {
  static const Room room = [] {
    const If sample{sample_branch(true), sample_branch(false)};
    return make_room<If>({
        .onnx = {"If", 16},
        .arity = {1, kVariadic, 1, kVariadic},
        .attributes = {required("then_branch", &If::then_branch),
                       required("else_branch", &If::else_branch)},
        .infer = infer,
        .reference = ESP_REFERENCE(If, reference),
        .gradient = no_gradient_of_control(),
        .cost = cost,
        .axes = ties_nothing<If>,
        .quantize = no_quantize(),
        .pointwise = not_pointwise(),
        .expand = no_expand(),
        .emit = emit,
        .samples = {{sample, {condition(true), OperandSpec::of({2, 3})}},
                    {sample, {condition(false), OperandSpec::of({2, 3})}}},
        .control = form(),
    });
  }();
  return room;
}

}  // namespace espalier::ops
