#include "ops/recurrent/recurrent.h"

#include <cmath>

#include "base/error.h"

namespace espalier::ops {
namespace {

// Names and defaults of ONNX's recurrent operators.
const std::vector<GateFunction>& known_functions() {
  static const std::vector<GateFunction> functions = {
      {"Sigmoid", 0, 0, 0, [](double x, double, double) { return 1 / (1 + std::exp(-x)); },
       [](Builder& b, ValueId x, double, double) { return b.one("Sigmoid", {x}); }},
      {"Tanh", 0, 0, 0, [](double x, double, double) { return std::tanh(x); },
       [](Builder& b, ValueId x, double, double) { return b.one("Tanh", {x}); }},
      {"Relu", 0, 0, 0, [](double x, double, double) { return std::max(x, 0.0); },
       [](Builder& b, ValueId x, double, double) { return b.one("Relu", {x}); }},
      {"Affine", 2, 1, 0, [](double x, double p, double q) { return p * x + q; },
       [](Builder& b, ValueId x, double p, double q) { return b.add(b.mul(x, p), q); }},
      {"LeakyRelu", 1, 0.01f, 0, [](double x, double p, double) { return x < 0 ? p * x : x; },
       [](Builder& b, ValueId x, double p, double) {
         return b.one("LeakyRelu", {x}, {{"alpha", float(p)}});
       }},
      {"ScaledTanh", 2, 1, 1, [](double x, double p, double q) { return p * std::tanh(q * x); },
       [](Builder& b, ValueId x, double p, double q) {
         return b.mul(b.one("Tanh", {b.mul(x, q)}), p);
       }},
      {"HardSigmoid", 2, 0.2f, 0.5f,
       [](double x, double p, double q) { return std::clamp(p * x + q, 0.0, 1.0); },
       [](Builder& b, ValueId x, double p, double q) {
         return b.one("HardSigmoid", {x}, {{"alpha", float(p)}, {"beta", float(q)}});
       }},
      {"Softsign", 0, 0, 0, [](double x, double, double) { return x / (1 + std::abs(x)); },
       [](Builder& b, ValueId x, double, double) {
         return b.div(x, b.add(b.one("Abs", {x}), 1.0));
       }},
      {"Softplus", 0, 0, 0, [](double x, double, double) { return std::log1p(std::exp(x)); },
       [](Builder& b, ValueId x, double, double) { return b.one("Softplus", {x}); }},
  };
  return functions;
}

}  // namespace

int directions_of(const Recurrent& a) { return a.direction == "bidirectional" ? 2 : 1; }

std::vector<GateFunction> gate_functions(const Recurrent& a,
                                         const std::vector<std::string>& defaults,
                                         const std::string& where) {
  std::vector<std::string> names = a.activations;
  if (names.empty())
    for (int d = 0; d < directions_of(a); ++d)
      names.insert(names.end(), defaults.begin(), defaults.end());
  if (names.size() != defaults.size() * size_t(directions_of(a)))
    throw bad_input(where, std::to_string(names.size()) + " activations are named, " +
                               std::to_string(defaults.size()) + " per direction are needed");
  std::vector<GateFunction> functions;
  size_t alphas = 0, betas = 0;
  for (const std::string& name : names) {
    const auto& known = known_functions();
    const auto found =
        std::find_if(known.begin(), known.end(), [&](const auto& f) { return name == f.name; });
    if (found == known.end())
      throw unsupported(where, "the activation '" + name + "' is not supported");
    GateFunction f = *found;
    if (f.parameters >= 1 && alphas < a.activation_alpha.size())
      f.alpha = a.activation_alpha[alphas++];
    if (f.parameters >= 2 && betas < a.activation_beta.size()) f.beta = a.activation_beta[betas++];
    functions.push_back(f);
  }
  return functions;
}

namespace {

/// Refuses an operand whose known extents differ from the wanted ones.
void require_dims(const TypesIn& in, size_t i, const Dims& wanted) {
  if (!in.has(i)) return;
  require_rank(in, i, int64_t(wanted.size()));
  for (size_t d = 0; d < wanted.size(); ++d)
    if (in[i].dims[d].known() && wanted[d].known() && !(in[i].dims[d] == wanted[d]))
      in.fail("operand " + std::to_string(i) + " is " + to_string(in[i]) + ", " +
              to_string(TensorType(in[i].dtype, wanted)) + " is needed");
}

Dim times(int64_t factor, const Dim& d) {
  return d.known() ? Dim(factor * d.value()) : Dim::unknown();
}

}  // namespace

Types infer_recurrent(const Recurrent& a, const RecurrentForm& form, const TypesIn& in) {
  require_float(in, 0);
  require_same_dtype(in, 0, 4);
  for (size_t i = 5; i < 8; ++i)
    if (in.has(i) && in[i].dtype != in[0].dtype)
      in.fail("operand " + std::to_string(i) + " is " + std::string(name_of(in[i].dtype)) +
              ", the sequence " + std::string(name_of(in[0].dtype)));
  if (a.direction != "forward" && a.direction != "reverse" && a.direction != "bidirectional")
    in.fail("direction '" + a.direction + "' is not known",
            "known: forward, reverse, bidirectional");
  if (a.layout != 0 && a.layout != 1)
    in.fail("layout is " + std::to_string(a.layout) + ", 0 or 1 is needed");
  if (a.clip && !(*a.clip >= 0)) in.fail("clip is " + std::to_string(*a.clip));
  gate_functions(a, form.default_functions, in.where());
  for (size_t i = 0; i < 3; ++i) require_rank(in, i, 3);
  const Dim directions(directions_of(a)), hidden = in[2].dims[2], input = in[0].dims[2];
  if (a.hidden_size && hidden.known() && !hidden.is(*a.hidden_size))
    in.fail("hidden_size is " + std::to_string(*a.hidden_size) + ", the recurrence weight is " +
            to_string(in[2]));
  const Dim rows = times(form.gates, hidden);
  require_dims(in, 1, {directions, rows, input});
  require_dims(in, 2, {directions, rows, hidden});
  require_dims(in, 3, {directions, times(2, rows)});
  const Dim time = in[0].dims[a.layout == 1], batch = in[0].dims[a.layout == 0];
  if (in.has(4)) {
    require_dims(in, 4, {batch});
    if (in[4].dtype != DType::i32)
      in.fail("sequence_lens is " + std::string(name_of(in[4].dtype)) + ", i32 is needed");
  }
  const Dims state =
      a.layout == 1 ? Dims{batch, directions, hidden} : Dims{directions, batch, hidden};
  require_dims(in, 5, state);
  require_dims(in, 6, state);
  require_dims(in, 7, {directions, times(3, hidden)});
  Types types = {TensorType(in[0].dtype, a.layout == 1 ? Dims{batch, time, directions, hidden}
                                                       : Dims{time, directions, batch, hidden})};
  types.insert(types.end(), size_t(form.states), TensorType(in[0].dtype, state));
  return types;
}

Cost recurrent_cost(const RecurrentForm& form, const TypesIn& in, const Types& out) {
  const double steps = double(out[0].tensor().numel());  // time * directions * batch * hidden
  const double reads = double(in[0].dims[2].value() + in[2].dims[2].value());
  Cost c = contraction(steps * form.gates * reads, in, out);
  c.flops += steps * form.gates * 10;
  return c;
}

AxisMap recurrent_axes(const Recurrent& a, const RecurrentForm& form, const TypesIn& in,
                       const Types& out) {
  const int batch_axis = a.layout == 1 ? 0 : 1;
  const int64_t hidden = in[2].dims[2].value();
  const auto results = int(out.size());
  AxisMap map;
  AxisTie units{hidden,
                {AxisPlace::in(1, 1, 1, form.gates), AxisPlace::in(2, 1, 1, form.gates),
                 AxisPlace::in(2, 2), AxisPlace::out(0, 3)}};
  if (in.has(3)) units.places.push_back(AxisPlace::in(3, 1, 1, 2 * form.gates));
  for (int slot : {5, 6})
    if (in.has(size_t(slot))) units.places.push_back(AxisPlace::in(slot, 2));
  if (in.has(7)) units.places.push_back(AxisPlace::in(7, 1, 1, 3));
  for (int slot = 1; slot < results; ++slot) units.places.push_back(AxisPlace::out(slot, 2));
  units.zero_passes = a.activations.empty();  // tanh(0) = 0; others may differ
  map.ties.push_back(std::move(units));
  if (in[0].dims[2].known())
    map.ties.push_back({in[0].dims[2].value(), {AxisPlace::in(0, 2), AxisPlace::in(1, 2)}});
  if (const Dim& batch = in[0].dims[a.layout == 0]; batch.known()) {
    AxisTie tie{batch.value(),
                {AxisPlace::in(0, 1 - a.layout), AxisPlace::out(0, a.layout == 1 ? 0 : 2)},
                false};
    if (in.has(4)) tie.places.push_back(AxisPlace::in(4, 0));
    for (int slot : {5, 6})
      if (in.has(size_t(slot))) tie.places.push_back(AxisPlace::in(slot, batch_axis));
    for (int slot = 1; slot < results; ++slot)
      tie.places.push_back(AxisPlace::out(slot, batch_axis));
    map.ties.push_back(std::move(tie));
  }
  return map;
}

}  // namespace espalier::ops
