#include "train/reweighting.h"

#include <algorithm>

#include "base/error.h"
#include "base/rng.h"
#include "ir/builder.h"
#include "passes/differentiate.h"
#include "runtime/session.h"
#include "train/forward.h"
#include "train/step.h"

namespace espalier {
namespace {

/// A network's forward pass written into another graph, any number of times, parameters as any
/// values.
class Copies {
 public:
  explicit Copies(const Graph& forward) : from_(forward) {}

  /// Losses [N] of a batch for labels as rows with a one.
  ValueId losses(Builder& b, const std::map<std::string, ValueId>& parameters, ValueId input,
                 ValueId rows) {
    Graph& g = b.graph();
    std::map<ValueId, ValueId> at = {{from_.inputs()[0], input}};
    for (ValueId v : from_.inputs())
      if (const auto it = parameters.find(from_.value(v).name); it != parameters.end())
        at[v] = it->second;
    for (ValueId v : from_.constants()) {
      auto [known, fresh] = constants_.try_emplace(v, kNoValue);
      if (fresh)
        known->second = g.add_constant(g.fresh_name(from_.value(v).name), *from_.value(v).constant);
      at[v] = known->second;
    }
    for (NodeId id : from_.order()) {
      const Node& n = from_.node(id);
      Values operands;
      for (ValueId v : n.inputs) operands.push_back(v == kNoValue ? kNoValue : at.at(v));
      const Values results = b.op(*n.room, n.attrs, operands);
      for (size_t i = 0; i < n.outputs.size(); ++i)
        if (n.outputs[i] != kNoValue) at[n.outputs[i]] = results.at(i);
    }
    const ValueId log_p = b.one("LogSoftmax", {at.at(from_.outputs()[0])}, {{"axis", int64_t{1}}});
    return b.neg(b.reduce_sum(b.mul(log_p, rows), {1}, false));
  }

 private:
  const Graph& from_;
  std::map<ValueId, ValueId> constants_;  ///< shared by all copies
};

/// Inputs by name, in a compiled program's order.
struct Compiled {
  std::unique_ptr<Session> session;
  std::vector<Tensor> inputs, outputs;
  std::map<std::string, size_t> slots;

  explicit Compiled(const Graph& g) : session(std::make_unique<Session>(compile(g))) {
    const Program& p = session->program();
    for (size_t i = 0; i < p.input_names().size(); ++i) {
      slots[p.input_names()[i]] = i;
      inputs.emplace_back(p.input_types()[i].dtype, p.input_types()[i].shape());
    }
    for (const TensorType& t : p.output_types()) outputs.emplace_back(t.dtype, t.shape());
  }
  void set(const std::string& name, Tensor value) {
    if (const auto it = slots.find(name); it != slots.end()) inputs[it->second] = std::move(value);
  }
  void run() { session->run_into(inputs, outputs); }
};

}  // namespace

struct Reweighting::Impl {
  Graph plain, forward;
  std::shared_ptr<const Dataset> train, trusted;
  ReweightingOptions options;
  std::vector<std::string> names;  ///< of parameters, in the order of the lower variable
  std::vector<Shape> shapes;
  int64_t classes = 0, size = 0;
  std::unique_ptr<Compiled> gradient, unrolled;

  Shape batch_shape() const {
    Shape s = {options.batch};
    s.insert(s.end(), train->sample_shape().begin(), train->sample_shape().end());
    return s;
  }

  std::map<std::string, ValueId> add_parameters(Graph& g) const {
    std::map<std::string, ValueId> values;
    for (size_t i = 0; i < names.size(); ++i)
      values[names[i]] = g.add_input(names[i], TensorType(DType::f32, shapes[i]));
    return values;
  }

  /// sum of weights times losses, plus decay.
  ValueId objective(Builder& b, const std::map<std::string, ValueId>& parameters, ValueId losses,
                    ValueId weights) const {
    ValueId sum = b.reduce_sum(b.mul(losses, weights), {0}, false);
    for (const std::string& name : names) {
      const ValueId p = parameters.at(name);
      std::vector<int64_t> axes;
      for (int64_t a = 0; a < b.type(p).rank(); ++a) axes.push_back(a);
      sum = b.add(sum, b.mul(b.reduce_sum(b.mul(p, p), axes, false), options.decay / 2));
    }
    return sum;
  }

  std::vector<ValueId> add_batch(Graph& g, const std::string& suffix) const {
    const TensorType rows(DType::f32, Shape{options.batch, classes});
    return {g.add_input("samples" + suffix, TensorType(DType::f32, batch_shape())),
            g.add_input("labels" + suffix, rows),
            g.add_input("weights" + suffix, TensorType(DType::f32, Shape{options.batch}))};
  }

  /// Losses, then the gradient of each parameter.
  void compile_gradient() {
    Graph g;
    Builder b(g);
    const auto parameters = add_parameters(g);
    Copies copies(forward);
    const std::vector<ValueId> batch = add_batch(g, "");
    const ValueId losses = copies.losses(b, parameters, batch[0], batch[1]);
    g.rename(losses, "losses");
    const ValueId whole = objective(b, parameters, losses, batch[2]);
    std::vector<ValueId> wrt;
    for (const std::string& name : names) wrt.push_back(parameters.at(name));
    const auto d = differentiate(g, whole, wrt);
    g.add_output(g.find("losses"));
    for (ValueId v : wrt) g.add_output(d.at(v));
    g.erase_dead();
    gradient = std::make_unique<Compiled>(g);
  }

  /// The parameters after all steps, then the gradient of each step's weights, then the loss.
  void compile_unrolled() {
    Graph g;
    Builder b(g);
    std::map<std::string, ValueId> parameters = add_parameters(g);
    std::vector<ValueId> weights;
    Copies copies(forward);
    for (int64_t t = 0; t < options.unrolled; ++t) {
      const std::vector<ValueId> batch = add_batch(g, std::to_string(t));
      weights.push_back(batch[2]);
      const ValueId losses = copies.losses(b, parameters, batch[0], batch[1]);
      const ValueId whole = objective(b, parameters, losses, batch[2]);
      std::vector<ValueId> wrt;
      for (const std::string& name : names) wrt.push_back(parameters.at(name));
      const auto d = differentiate(g, whole, wrt);
      for (const std::string& name : names) {
        const ValueId p = parameters.at(name);
        parameters[name] = b.sub(p, b.mul(d.at(p), options.lower_rate));
      }
    }
    for (const std::string& name : names) g.add_output(parameters.at(name));
    const std::vector<ValueId> batch = add_batch(g, "");
    const ValueId losses = copies.losses(b, parameters, batch[0], batch[1]);
    const ValueId f = b.reduce_sum(b.mul(losses, batch[2]), {0}, false);
    g.rename(f, "f");
    const auto d = differentiate(g, f, weights);
    for (ValueId v : weights) g.add_output(d.at(v));
    g.add_output(g.find("f"));
    g.erase_dead();
    unrolled = std::make_unique<Compiled>(g);
  }

  void set_parameters(Compiled& to, const Variables& y) const {
    ESP_CHECK(int64_t(y.size()) == size, "the lower variable has another size");
    size_t at = 0;
    for (size_t i = 0; i < names.size(); ++i) {
      Tensor t(DType::f32, shapes[i]);
      std::copy_n(y.begin() + int64_t(at), t.size(), t.mutable_data<float>());
      at += size_t(t.size());
      to.set(names[i], std::move(t));
    }
  }

  /// Draws a batch and puts it into a program; weights are x's, or one each, over the batch.
  std::vector<int64_t> set_batch(Compiled& to, const std::string& suffix, const Dataset& data,
                                 const Variables* x, const Rng& rng) const {
    const int64_t n = std::min(options.batch, data.size());
    std::vector<int64_t> rows;
    for (int64_t i = 0; i < options.batch; ++i)
      rows.push_back(n < options.batch ? i % n
                                       : int64_t(rng.below(uint64_t(i), uint64_t(data.size()))));
    Batch batch = data.fetch(rows);
    Tensor labels(DType::f32, {options.batch, classes}), weights(DType::f32, {options.batch});
    for (int64_t i = 0; i < options.batch; ++i) {
      const int64_t label = batch.targets.int_at(i);
      labels.mutable_data<float>()[i * classes + label] = 1;
      const double own = x ? double((*x)[size_t(rows[size_t(i)])]) : i < n ? 1 : 0;
      weights.mutable_data<float>()[i] = float(own / double(n));
    }
    to.set("samples" + suffix, std::move(batch.inputs));
    to.set("labels" + suffix, std::move(labels));
    to.set("weights" + suffix, std::move(weights));
    return rows;
  }

  Rng stream(const char* what, uint64_t draw) const {
    return Rng(options.seed, stream_of(what)).fork(draw);
  }

  LevelGradient run_gradient(const Variables& y, bool decays) {
    gradient->run();
    LevelGradient found;
    found.by_lower.reserve(size_t(size));
    for (size_t i = 0; i < names.size(); ++i) {
      const std::span<const float> d = gradient->outputs[i + 1].span<float>();
      found.by_lower.insert(found.by_lower.end(), d.begin(), d.end());
    }
    // The program's objective decays; f does not.
    if (!decays)
      for (size_t i = 0; i < y.size(); ++i)
        found.by_lower[i] -= float(options.decay * double(y[i]));
    const std::string weights = "weights";
    const Tensor& w = gradient->inputs[gradient->slots.at(weights)];
    for (int64_t i = 0; i < options.batch; ++i) found.value += w.at(i) * gradient->outputs[0].at(i);
    return found;
  }
};

Reweighting::Reweighting(const Graph& network, std::shared_ptr<const Dataset> train,
                         std::shared_ptr<const Dataset> trusted, ReweightingOptions options)
    : impl_(std::make_unique<Impl>()) {
  Impl& m = *impl_;
  m.plain = network;
  m.train = std::move(train);
  m.trusted = std::move(trusted);
  m.options = options;
  m.options.batch = std::min(options.batch, m.train->size());
  if (m.options.batch < 1 || options.unrolled < 0 || !(options.decay >= 0))
    throw bad_input("reweighting", "a batch needs a sample, and decay must not be negative");
  for (const Dataset* data : {m.train.get(), m.trusted.get()})
    if (data->classes() < 2 || data->target_shape() != Shape{} ||
        data->sample_shape() != m.train->sample_shape() || data->input_type() != DType::f32)
      throw bad_input(data->description(),
                      "reweighting needs samples of numbers of one shape with class labels");
  const Forward f = training_forward(network, TensorType(DType::f32, m.batch_shape()), "", 0);
  if (!f.next.empty() || !f.step.empty())
    throw unsupported(network.name,
                      "follows statistics of batches or draws at random, which weights of samples "
                      "cannot be differentiated through here",
                      "use a network without batch normalisation and dropout");
  m.forward = f.graph;
  const TensorType logits = m.forward.value(m.forward.outputs()[0]).tensor();
  m.classes = logits.rank() == 2 ? logits.dims[1].value() : 0;
  if (m.classes < m.train->classes())
    throw bad_input(network.name, "answers with " + to_string(logits) + ", the data has " +
                                      std::to_string(m.train->classes()) + " classes");
  for (const std::string& name : f.parameters) {
    m.names.push_back(name);
    m.shapes.push_back(m.forward.value(m.forward.find(name)).tensor().shape());
    m.size += numel(m.shapes.back());
  }
  m.compile_gradient();
  if (options.unrolled > 0) m.compile_unrolled();
}

Reweighting::~Reweighting() = default;

Variables Reweighting::equal_weights() const {
  return Variables(static_cast<size_t>(impl_->train->size()), 1);
}

Variables Reweighting::first_parameters() const {
  Variables y;
  for (const std::string& name : impl_->names) {
    const Tensor& t = *impl_->plain.value(impl_->plain.find(name)).constant;
    for (int64_t i = 0; i < t.size(); ++i) y.push_back(float(t.at(i)));
  }
  return y;
}

Graph Reweighting::network(const Variables& y) const {
  std::map<std::string, Tensor> values;
  size_t at = 0;
  for (size_t i = 0; i < impl_->names.size(); ++i) {
    Tensor t(DType::f32, impl_->shapes[i]);
    std::copy_n(y.begin() + int64_t(at), t.size(), t.mutable_data<float>());
    at += size_t(t.size());
    values[impl_->names[i]] = std::move(t);
  }
  return with_values(impl_->plain, values);
}

void Reweighting::project(Variables& x) const {
  for (float& w : x) w = std::clamp(w, 0.0f, 1.0f);
}

LevelGradient Reweighting::upper(const Variables&, const Variables& y, uint64_t draw) {
  Impl& m = *impl_;
  m.set_parameters(*m.gradient, y);
  m.set_batch(*m.gradient, "", *m.trusted, nullptr, m.stream("trusted samples", draw));
  return m.run_gradient(y, false);
}

LevelGradient Reweighting::lower(const Variables& x, const Variables& y, uint64_t draw) {
  Impl& m = *impl_;
  m.set_parameters(*m.gradient, y);
  const std::vector<int64_t> rows =
      m.set_batch(*m.gradient, "", *m.train, &x, m.stream("weighted samples", draw));
  LevelGradient found = m.run_gradient(y, true);
  found.by_upper.assign(x.size(), 0);
  for (size_t i = 0; i < rows.size(); ++i)
    found.by_upper[size_t(rows[i])] +=
        float(m.gradient->outputs[0].at(int64_t(i)) / double(rows.size()));
  for (float v : y) found.value += m.options.decay / 2 * double(v) * double(v);
  return found;
}

LevelGradient Reweighting::unrolled_step(const Variables& x, Variables& y, uint64_t draw) {
  Impl& m = *impl_;
  ESP_CHECK(m.unrolled != nullptr, "compiled without unrolled steps");
  Compiled& p = *m.unrolled;
  m.set_parameters(p, y);
  std::vector<std::vector<int64_t>> rows;
  const auto steps = size_t(m.options.unrolled);
  for (size_t t = 0; t < steps; ++t)
    rows.push_back(m.set_batch(p, std::to_string(t), *m.train, &x,
                               m.stream("weighted samples", draw * steps + t)));
  m.set_batch(p, "", *m.trusted, nullptr, m.stream("trusted samples", draw));
  p.run();
  Variables end;
  for (size_t i = 0; i < m.names.size(); ++i) {
    const std::span<const float> values = p.outputs[i].span<float>();
    end.insert(end.end(), values.begin(), values.end());
  }
  y = std::move(end);
  LevelGradient found;
  found.by_upper.assign(x.size(), 0);
  for (size_t t = 0; t < steps; ++t)
    for (size_t i = 0; i < rows[t].size(); ++i)
      found.by_upper[size_t(rows[t][i])] +=
          float(p.outputs[m.names.size() + t].at(int64_t(i)) / double(rows[t].size()));
  found.value = p.outputs.back().at(0);
  return found;
}

}  // namespace espalier
