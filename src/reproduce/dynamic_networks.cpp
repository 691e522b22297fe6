#include "reproduce/dynamic_networks.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "base/error.h"
#include "base/rng.h"
#include "ir/builder.h"
#include "ir/interpret.h"
#include "recipe/initialise.h"

namespace espalier {
namespace {

using Ints = std::vector<int64_t>;

/// Writes one graph; weights are named, so that the same name is the same weight everywhere.
class Writer {
 public:
  Writer(Graph& g, uint64_t seed) : b(g), seed_(seed) {}
  Builder b;

  ValueId weight(const std::string& name, const Shape& shape, int64_t fan_in) {
    const double bound = std::sqrt(3.0 / double(fan_in));
    return b.constant(uniform_within(shape, bound, seed_, name), b.graph().fresh_name(name));
  }
  ValueId conv(ValueId x, int64_t in, int64_t out, const std::string& name, int64_t stride = 1) {
    return b.one("Conv", {x, weight(name, {out, in, 3, 3}, in * 9)},
                 {{"strides", Ints{stride, stride}}, {"pads", Ints{1, 1, 1, 1}}}, name);
  }
  ValueId relu(ValueId x) { return b.one("Relu", {x}); }
  ValueId linear(ValueId x, int64_t in, int64_t out, const std::string& name) {
    return b.matmul(x, weight(name, {in, out}, in));
  }
  /// [1, C, H, W] -> [1, C]
  ValueId pooled(ValueId x) { return b.one("Flatten", {b.one("GlobalAveragePool", {x})}); }
  /// One number of what a picture's channels are on average.
  ValueId score(ValueId x, int64_t channels, const std::string& name) {
    return b.reshape(linear(pooled(x), channels, 1, name), {});
  }
  ValueId number(int64_t n) { return b.constant(Tensor::scalar<int64_t>(n)); }
  ValueId exceeds(ValueId score, float threshold) {
    return b.greater(score, b.scalar(double(threshold), score));
  }
  uint64_t seed() const { return seed_; }

 private:
  uint64_t seed_;
};

/// What a network is made from: thresholds of its gates, or none while these are looked for. Then
/// nothing is decided, everything is computed, and the scores of the gates are the results.
struct Gates {
  std::vector<float> thresholds;
  std::vector<ValueId> scores;
  bool decides() const { return !thresholds.empty(); }
};

using Body = std::function<void(Writer&, const Values& inputs)>;

/// A body with inputs of the types of `captured`.
GraphRef body_of(Writer& outer, const std::string& name, const Values& captured,
                 const Body& write) {
  Graph g;
  g.name = name;
  Values inputs;
  for (ValueId v : captured) inputs.push_back(g.add_input("", Type(outer.b.type(v))));
  Writer inner(g, outer.seed());
  write(inner, inputs);
  return std::make_shared<const Graph>(std::move(g));
}

/// If with bodies that take all of `captured`.
Values choose(Writer& w, ValueId condition, const Values& captured, const Body& then_body,
              const Body& else_body, const std::string& name) {
  Values operands = {condition};
  operands.insert(operands.end(), captured.begin(), captured.end());
  return w.b.op("If", operands,
                {{"then_branch", body_of(w, name + "_yes", captured, then_body)},
                 {"else_branch", body_of(w, name + "_no", captured, else_body)}},
                name);
}

// ---- early exit ---------------------------------------------------------------------------------

constexpr int64_t kClasses = 10;

struct Stage {
  ValueId features, answer, confidence;
};
Stage stage(Writer& w, ValueId x, int64_t in, int64_t out, int64_t stride,
            const std::string& name) {
  ValueId y = w.relu(w.conv(x, in, out, name + ".a", stride));
  y = w.relu(w.conv(y, out, out, name + ".b"));
  const ValueId logits = w.b.mul(w.linear(w.pooled(y), out, kClasses, name + ".head"), 4.0);
  const ValueId answer = w.b.one("Softmax", {logits});
  const ValueId most = w.b.one("ReduceMax", {answer}, {{"keepdims", int64_t{0}}});
  return {y, answer, most};
}

void early_exit(Writer& w, Gates& gates) {
  Graph& g = w.b.graph();
  const ValueId x = g.add_input("picture", TensorType(DType::f32, Shape{1, 3, 16, 16}));
  const Stage first = stage(w, x, 3, 16, 1, "first");
  if (!gates.decides()) {
    const Stage second = stage(w, first.features, 16, 32, 2, "second");
    gates.scores = {first.confidence, second.confidence};
    return;
  }
  const auto exits = [](int64_t path) -> Body {
    return [path](Writer& b, const Values& in) {
      b.b.graph().add_output(b.b.one("Identity", {in[0]}));
      b.b.graph().add_output(b.b.one("Identity", {b.number(path)}));
    };
  };
  const Body third = [](Writer& b, const Values& in) {
    const Stage last = stage(b, in[1], 32, 64, 2, "third");
    b.b.graph().add_output(last.answer);
    b.b.graph().add_output(b.b.one("Identity", {b.number(2)}));
  };
  const Body second = [&](Writer& b, const Values& in) {
    const Stage s = stage(b, in[1], 16, 32, 2, "second");
    b.b.graph().set_outputs(choose(b, b.exceeds(s.confidence, gates.thresholds[1]),
                                   {s.answer, s.features}, exits(1), third, "second_exit"));
  };
  g.set_outputs(choose(w, w.exceeds(first.confidence, gates.thresholds[0]),
                       {first.answer, first.features}, exits(0), second, "first_exit"));
}

// ---- blocks that are skipped, widths that are chosen
// ----------------------------------------------

/// `count` blocks on [1, channels, 16, 16] features, each with a gate and two bodies.
void gated_blocks(Writer& w, Gates& gates, int64_t count, int64_t channels,
                  const std::function<Body(int64_t)>& yes, const std::function<Body(int64_t)>& no) {
  Graph& g = w.b.graph();
  const ValueId x = g.add_input("picture", TensorType(DType::f32, Shape{1, 3, 16, 16}));
  ValueId y = w.relu(w.conv(x, 3, channels, "stem"));
  ValueId path = w.number(0);
  for (int64_t k = 0; k < count; ++k) {
    const std::string name = "block" + std::to_string(k);
    const ValueId score = w.score(y, channels, name + ".gate");
    if (!gates.decides()) {
      gates.scores.push_back(score);
      Graph& here = g;
      const auto before = std::vector<ValueId>(here.outputs().begin(), here.outputs().end());
      yes(k)(w, {y});
      y = here.outputs().back();
      here.set_outputs(before);
      continue;
    }
    const ValueId open = w.exceeds(score, gates.thresholds[size_t(k)]);
    y = choose(w, open, {y}, yes(k), no(k), name).at(0);
    path = w.b.add(path, w.b.mul(w.b.cast(open, DType::i64), w.number(int64_t{1} << k)));
  }
  if (!gates.decides()) return;
  g.add_output(w.b.one("Softmax", {w.linear(w.pooled(y), channels, kClasses, "head")}));
  g.add_output(path);
}

/// y = relu(x + conv(relu(conv x))), `width` channels between.
Body residual(int64_t channels, int64_t width, const std::string& name) {
  return [=](Writer& b, const Values& in) {
    const ValueId inner = b.relu(b.conv(in[0], channels, width, name + ".a"));
    const ValueId y = b.b.add(in[0], b.conv(inner, width, channels, name + ".b"));
    b.b.graph().add_output(b.relu(y));
  };
}

void skip_block(Writer& w, Gates& gates) {
  constexpr int64_t kBlocks = 5, kChannels = 24;
  const Body skip = [](Writer& b, const Values& in) {
    b.b.graph().add_output(b.b.one("Identity", {in[0]}));
  };
  gated_blocks(
      w, gates, kBlocks, kChannels,
      [](int64_t k) { return residual(kChannels, kChannels, "block" + std::to_string(k)); },
      [&](int64_t) { return skip; });
}

void gated_width(Writer& w, Gates& gates) {
  constexpr int64_t kBlocks = 3, kChannels = 24;
  const auto of_width = [](int64_t width) {
    return [width](int64_t k) {
      return residual(kChannels, width, "width" + std::to_string(width) + "." + std::to_string(k));
    };
  };
  gated_blocks(w, gates, kBlocks, kChannels, of_width(48), of_width(12));
}

// ---- a recurrent loop that halts
// ------------------------------------------------------------------

constexpr int64_t kSteps = 16, kFeatures = 24, kHidden = 48;

struct Cell {
  ValueId state, halting;
};
/// h' = tanh(x_t W + h U), and how sure it is, in [0, 1].
Cell cell(Writer& w, ValueId x, ValueId step, ValueId h) {
  const ValueId x_t =
      w.b.reshape(w.b.one("Gather", {x, step}, {{"axis", int64_t{1}}}), {1, kFeatures});
  const ValueId sum = w.b.add(w.linear(x_t, kFeatures, kHidden, "input"),
                              w.linear(h, kHidden, kHidden, "recurrent"));
  const ValueId next = w.b.one("Tanh", {sum});
  const ValueId sure = w.b.one("Sigmoid", {w.b.mul(w.linear(next, kHidden, 1, "halt"), 3.0)});
  return {next, w.b.reshape(sure, {})};
}

void rnn_loop(Writer& w, Gates& gates) {
  Graph& g = w.b.graph();
  const ValueId x = g.add_input("sequence", TensorType(DType::f32, Shape{1, kSteps, kFeatures}));
  const ValueId h0 = w.b.constant(Tensor(DType::f32, {1, kHidden}));
  if (!gates.decides()) {
    // How sure it is after half the steps.
    ValueId h = h0, total = w.b.constant(Tensor::scalar(0.0f));
    for (int64_t t = 0; t < kSteps / 2; ++t) {
      const Cell c = cell(w, x, w.number(t), h);
      h = c.state;
      total = w.b.add(total, c.halting);
    }
    gates.scores = {total};
    return;
  }
  Graph body;
  body.name = "step";
  const ValueId step = body.add_input("step", TensorType(DType::i64, Shape{}));
  body.add_input("going_on", TensorType(DType::boolean, Shape{}));
  const ValueId h = body.add_input("h", TensorType(DType::f32, Shape{1, kHidden}));
  const ValueId total = body.add_input("total", TensorType(DType::f32, Shape{}));
  const ValueId count = body.add_input("count", TensorType(DType::i64, Shape{}));
  const ValueId whole = body.add_input("x", Type(w.b.type(x)));
  Writer inner(body, w.seed());
  const Cell c = cell(inner, whole, step, h);
  const ValueId sum = inner.b.add(total, c.halting);
  body.add_output(inner.b.less(sum, inner.b.scalar(double(gates.thresholds[0]), sum)));
  body.add_output(c.state);
  body.add_output(sum);
  body.add_output(inner.b.add(count, inner.number(1)));
  const Values last = w.b.op(
      "Loop",
      {w.number(kSteps), w.b.constant(Tensor::scalar(true)), h0, w.b.constant(Tensor::scalar(0.0f)),
       w.number(0), x},
      {{"body", std::make_shared<const Graph>(std::move(body))}, {"captured", int64_t{1}}}, "loop");
  g.add_output(w.b.one("Softmax", {w.linear(last[0], kHidden, kClasses, "head")}));
  g.add_output(w.b.one("Identity", {last[2]}));
}

// -------------------------------------------------------------------------------------------------

struct Kind {
  const char* name;
  void (*write)(Writer&, Gates&);
};
constexpr Kind kKinds[] = {{"early_exit", early_exit},
                           {"skip_block", skip_block},
                           {"gated_width", gated_width},
                           {"rnn_loop", rnn_loop}};

/// Inputs that differ in strength and offset, so that gates see different things.
std::vector<Tensor> draw_inputs(const Graph& g, const Rng& rng) {
  std::vector<Tensor> drawn;
  for (ValueId v : g.inputs()) {
    Tensor t(DType::f32, g.value(v).tensor().shape());
    const double strength = rng.uniform(0, 0.2, 2.0);
    const int64_t plane = t.size() / t.shape()[1];
    for (int64_t i = 0; i < t.size(); ++i) {
      const double offset = rng.uniform(uint64_t(1 + i / plane), -1, 1);
      t.mutable_data<float>()[i] =
          float(strength * (offset + rng.uniform(uint64_t(1000 + i), -1, 1)));
    }
    drawn.push_back(std::move(t));
  }
  return drawn;
}

}  // namespace

std::vector<std::string> dynamic_network_names() {
  std::vector<std::string> names;
  for (const Kind& kind : kKinds) names.emplace_back(kind.name);
  return names;
}

DynamicNetwork dynamic_network(const std::string& name, int64_t inputs, uint64_t seed) {
  const auto* kind =
      std::ranges::find(kKinds, name, [](const Kind& k) { return std::string(k.name); });
  if (kind == std::end(kKinds)) {
    std::string known;
    for (const auto& n : dynamic_network_names()) known += (known.empty() ? "" : ", ") + n;
    throw usage_error("network '" + name + "'", "is not known", "known: " + known);
  }
  Gates gates;
  Graph scores;
  Writer looking(scores, seed);
  kind->write(looking, gates);
  scores.set_outputs(gates.scores);
  DynamicNetwork made;
  for (int64_t i = 0; i < inputs; ++i)
    made.inputs.push_back(
        draw_inputs(scores, Rng(seed, stream_of("dynamic/" + name)).fork(uint64_t(i))));
  std::vector<std::vector<float>> seen(gates.scores.size());
  for (const auto& input : made.inputs) {
    const auto got = interpret(scores, input);
    for (size_t k = 0; k < got.size(); ++k) seen[k].push_back(float(got[k].at(0)));
  }
  for (auto& list : seen) {
    // Half-way between two inputs: an input whose score is the threshold itself would be decided by
    // rounding, which no two ways of computing share.
    std::ranges::sort(list);
    const size_t middle = list.size() / 2;
    gates.thresholds.push_back(std::midpoint(list[middle - 1], list[middle]));
  }
  made.graph.name = name;
  Writer writer(made.graph, seed);
  kind->write(writer, gates);
  return made;
}

}  // namespace espalier
