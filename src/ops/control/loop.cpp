// Loop, ONNX opset 16: runs a body again and again, at most `trip count` times (operand 0), while
// the condition holds (operand 1); either may be omitted.
//
//   operands: trip count, condition, values that go round v.., captured..
//   body: (iteration, condition, v.., captured..) -> (condition, v.., scanned..)
//   results: v.. as they are last, scanned.. of all iterations along a new first axis
#include "ir/derive.h"
#include "ops/control/control.h"
#include "ops/emit.h"

namespace espalier::ops {
namespace {

struct Loop {
  GraphRef body;
  int64_t captured = 0;
};

/// How many values go round, of that many operands.
size_t round_count(const Loop& a, size_t operands) { return operands - 2 - size_t(a.captured); }

void check_scalar(const TypesIn& in, size_t i, DType dtype, const char* what) {
  if (!in.has(i)) return;
  if (element_type_of(in.type(i)) != dtype ||
      (in.type(i).is_static() && in.type(i).tensor().numel() != 1))
    in.fail(std::string(what) + " is " + to_string(in.type(i)) + ", one " +
            std::string(name_of(dtype)) + " is needed");
}

std::vector<Type> body_inputs(const Loop& a, const TypesIn& in, const std::vector<Type>& round) {
  const auto flag = [&](size_t i, DType dtype) {
    return shaped_like_input(*a.body, i, Tensor(dtype, Shape{})).type();
  };
  std::vector<Type> types = {flag(0, DType::i64), flag(1, DType::boolean)};
  types.insert(types.end(), round.begin(), round.end());
  for (size_t i = in.size() - size_t(a.captured); i < in.size(); ++i) types.push_back(in.type(i));
  return types;
}

/// The body as it is in every iteration, and the types of what goes round.
std::pair<Graph, std::vector<Type>> settled_body(const Loop& a, const TypesIn& in) {
  if (a.captured < 0 || a.captured > int64_t(in.size()) - 2)
    in.fail("has " + std::to_string(in.size()) + " operands, too few for " +
            std::to_string(a.captured) + " captured ones");
  check_scalar(in, 0, DType::i64, "the trip count");
  check_scalar(in, 1, DType::boolean, "the condition");
  const size_t round = round_count(a, in.size());
  if (a.body->inputs().size() != in.size())
    in.fail("its body takes " + std::to_string(a.body->inputs().size()) + " inputs, " +
            std::to_string(in.size()) + " are handed to it");
  if (a.body->outputs().size() < 1 + round)
    in.fail("its body gives " + std::to_string(a.body->outputs().size()) +
            " results, the condition and " + std::to_string(round) +
            " values that go round are needed");
  std::vector<Type> first;
  for (size_t i = 0; i < round; ++i) first.push_back(in.type(2 + i));
  std::optional<Graph> body;
  const auto types = settled(in, first, [&](const std::vector<Type>& now) {
    body = typed_body(in, a.body, "the body", body_inputs(a, in, now), size_t(a.captured));
    const auto results = result_types(*body);
    if (element_type_of(results[0]) != DType::boolean)
      in.fail("the body's condition is " + to_string(results[0]) + ", one bool is needed");
    return std::vector<Type>(results.begin() + 1, results.begin() + 1 + std::ptrdiff_t(round));
  });
  return {std::move(*body), types};
}

Types infer(const Loop& a, const TypesIn& in) {
  auto [body, types] = settled_body(a, in);
  const size_t round = types.size();
  for (size_t k = 1 + round; k < body.outputs().size(); ++k) {
    const Type& each = body.value(body.outputs()[k]).type;
    if (!element_type_of(each))
      in.fail("the body's result '" + body.value(body.outputs()[k]).name + "' is " +
              to_string(each) + "; only tensors can be collected");
    if (!each.is_tensor()) {
      types.push_back(each);
      continue;
    }
    TensorType all = each.tensor();
    all.dims.insert(all.dims.begin(), Dim::unknown());
    types.emplace_back(std::move(all));
  }
  return types;
}

std::vector<Datum> run(const Loop& a, const ControlCall& call) {
  const size_t round = round_count(a, call.operands.size());
  const size_t scanned = a.body->outputs().size() - 1 - round;
  int64_t trips = std::numeric_limits<int64_t>::max();
  if (call.has(0)) {
    const Tensor& count = call.operands[0]->tensor();
    if (count.size() != 1)
      throw bad_input(call.where, "the trip count is " + to_string(call.operands[0]->type()) +
                                      ", one i64 is needed");
    trips = count.int_at(0);
  }
  bool goes_on = !call.has(1) || decided(*call.operands[1], call.where);
  std::vector<Datum> inputs(call.operands.size());
  for (size_t i = 2; i < inputs.size(); ++i) inputs[i] = *call.operands[i];
  std::vector<std::vector<Datum>> collected(scanned);
  for (int64_t i = 0; goes_on && i < trips; ++i) {
    inputs[0] = shaped_like_input(*a.body, 0, Tensor::scalar(i));
    inputs[1] = shaped_like_input(*a.body, 1, Tensor::scalar(true));
    std::vector<Datum> results = call.body(0, inputs);
    goes_on = decided(results[0], call.where);
    for (size_t v = 0; v < round; ++v) inputs[2 + v] = std::move(results[1 + v]);
    for (size_t k = 0; k < scanned; ++k) collected[k].push_back(std::move(results[1 + round + k]));
  }
  std::vector<Datum> results(inputs.begin() + 2, inputs.begin() + 2 + std::ptrdiff_t(round));
  for (size_t k = 0; k < scanned; ++k)
    results.push_back(collected[k].empty() ? nothing_of(call.results()[round + k])
                                           : concatenated(collected[k], 0, true, call.where));
  return results;
}

ControlOf<Loop> form() {
  return {.bodies = [](const Loop& a) { return std::vector<GraphRef>{a.body}; },
          .captured = [](const Loop& a) { return size_t(a.captured); },
          .run = run};
}

template <class Real>
void reference(const Loop& a, Ref<Real>& r) {
  run_by_reference(form(), a, "Loop", r);
}

// That of as many iterations as are asked for; of one where that is not known.
Cost cost(const Loop& a, const TypesIn& in, const Types&) {
  const Tensor* trips = in.constant(0);
  const double count = trips && trips->size() == 1 ? std::max(0.0, double(trips->int_at(0))) : 1;
  const Cost one = cost_of(settled_body(a, in).first);
  return {count * one.macs, count * one.flops, count * one.bytes};
}

/// Goes on while the sum of what goes round is below 9, but not for ever: x' = x + captured,
/// scanned x * x.
GraphRef sample_body() {
  Graph g;
  g.name = "adds";
  const ValueId iteration = g.add_input("iteration", TensorType(DType::i64, Shape{}));
  g.add_input("going_on", TensorType(DType::boolean, Shape{}));
  const ValueId x = g.add_input("x", TensorType(DType::f32, Shape{2}));
  const ValueId step = g.add_input("step", TensorType(DType::f32, Shape{2}));
  Builder b(g);
  const ValueId next = b.add(x, step);
  const ValueId sum = b.reduce_sum(next, {0}, false);
  const ValueId early = b.less(iteration, b.scalar(20, iteration));
  g.add_output(b.one("And", {b.less(sum, b.scalar(9, sum)), early}));
  g.add_output(next);
  g.add_output(b.mul(next, next));
  return std::make_shared<const Graph>(std::move(g));
}

OperandSpec fixed(Tensor value) {
  OperandSpec s = OperandSpec::fixed(std::move(value));
  s.constant = false;
  return s;
}

// What goes round lies where the results belong; the body is a function that gives the next ones.
void emit(const Loop& a, CWriter& c) {
  const auto settled = settled_body(a, c.types());
  const Graph& body = settled.first;
  const size_t round = settled.second.size(), collected = body.outputs().size() - 1 - round;
  std::vector<std::string> inputs = {"&iteration", "&going_on"}, results = {"&goes_on"};
  std::vector<RoundInC> rounds;
  for (size_t v = 0; v < round; ++v) {
    rounds.push_back(round_in_c(c, 2 + v, v));
    inputs.push_back(rounds.back().now);
    results.push_back(rounds.back().next);
  }
  for (const auto& p : operands_in_c(c, 2 + round, c.inputs())) inputs.push_back(p);
  // Slices lie one behind the other.
  for (size_t k = round; k < round + collected; ++k) {
    const TensorType& slice = body.value(body.outputs()[1 + k]).tensor();
    results.push_back(c.wants(k) ? plus(c.out(k), times("(int)iteration", slice.numel()))
                                 : c.scratch(slice.dtype, slice.numel()));
  }
  c.line("int64_t iteration = 0;");
  c.line("uint8_t goes_on = " + (c.has(1) ? c.load(1, "0") : std::string("1")) + ";");
  c.line("const uint8_t going_on = 1;");
  const std::string trips = c.has(0) ? " && iteration < " + c.load(0, "0") : "";
  c.block("for (; goes_on" + trips + "; ++iteration)", [&] {
    emit_body(c, body, inputs, results);
    for (const RoundInC& r : rounds) advance(c, r);
  });
  c.line("(void)going_on;");
}

}  // namespace

const Room& loop() {
  static const Room room = [] {
    const Loop sample{sample_body(), 1};
    const OperandSpec x = OperandSpec::ranged({2}, 0, 1), step = OperandSpec::ranged({2}, 1, 2);
    return make_room<Loop>({
        .onnx = {"Loop", 16},
        .arity = {2, kVariadic, 1, kVariadic},
        .attributes = {required("body", &Loop::body), {"captured", &Loop::captured}},
        .infer = infer,
        .reference = ESP_REFERENCE(Loop, reference),
        .gradient = no_gradient_of_control(),
        .cost = cost,
        .axes = ties_nothing<Loop>,
        .quantize = no_quantize(),
        .pointwise = not_pointwise(),
        .expand = no_expand(),
        .emit = emit,
        .samples = {{sample, {fixed(Tensor::scalar<int64_t>(3)), OperandSpec::omitted(), x, step}},
                    {sample, {OperandSpec::omitted(), fixed(Tensor::scalar(true)), x, step}},
                    {sample,
                     {fixed(Tensor::scalar<int64_t>(0)), fixed(Tensor::scalar(true)), x, step}},
                    {sample, {OperandSpec::omitted(), fixed(Tensor::scalar(false)), x, step}}},
        .gaps = true,
        .control = form(),
    });
  }();
  return room;
}

}  // namespace espalier::ops
