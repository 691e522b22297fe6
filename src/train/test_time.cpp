#include "train/test_time.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/progress.h"
#include "base/rng.h"
#include "data/shuffled_patches.h"
#include "passes/passes.h"
#include "runtime/session.h"
#include "train/forward.h"
#include "train/step_session.h"

namespace espalier {

const std::vector<std::string>& test_time_methods() {
  static const std::vector<std::string> names = {"none", "tent", "eata", "deyo"};
  return names;
}

TestTimeOptions TestTimeOptions::of(TestTimeMethod method) {
  TestTimeOptions o;
  o.method = method;
  if (method == TestTimeMethod::kEata) o.most_entropy = o.even_entropy;
  return o;
}

void TestTimeOptions::check(const std::string& where) const {
  const auto need = [&](bool holds, const char* what) {
    if (!holds) throw bad_input(where, what);
  };
  need(batch >= 1, "a batch needs a sample");
  need(rate >= 0 && std::isfinite(rate), "the learning rate must not be negative");
  need(most_entropy > 0 && most_entropy <= 1, "the most entropy is a part of ln C, 0 to 1");
  need(even_entropy >= 0 && even_entropy <= 1, "the even entropy is a part of ln C, 0 to 1");
  need(least_drop >= -1 && least_drop < 1, "the least drop of a probability lies from -1 to 1");
  need(reset_every >= 0, "batches between resets must not be negative");
  optimizer.check(where);
}

Certainty certainty_of(const float* logits, int64_t classes) {
  const float* best = std::max_element(logits, logits + classes);
  double sum = 0, weighted = 0;
  for (int64_t c = 0; c < classes; ++c) {
    const double z = double(logits[c]) - double(*best), e = std::exp(z);
    sum += e;
    weighted += e * z;
  }
  return {std::log(sum) - weighted / sum, 1 / sum, best - logits};
}

double test_time_weight(const TestTimeOptions& o, int64_t classes, double entropy, double drop) {
  const double whole = std::log(double(classes));
  switch (o.method) {
    case TestTimeMethod::kNone: return 0;
    case TestTimeMethod::kTent: return 1;
    case TestTimeMethod::kEata:
      return entropy < o.most_entropy * whole ? std::exp(o.even_entropy * whole - entropy) : 0;
    case TestTimeMethod::kDeyo:
      if (!(entropy < o.most_entropy * whole) || !(drop > o.least_drop)) return 0;
      return std::exp(o.even_entropy * whole - entropy) + std::exp(drop);
  }
  return 0;
}

namespace {

double probability_of(const float* logits, int64_t classes, int64_t answer) {
  const float best = *std::max_element(logits, logits + classes);
  double sum = 0;
  for (int64_t c = 0; c < classes; ++c) sum += std::exp(double(logits[c]) - double(best));
  return std::exp(double(logits[answer]) - double(best)) / sum;
}

}  // namespace

/// Two programs that share parameters: one that answers as the network does in training form, and
/// one step. So a batch without any sample to learn from costs no backward pass, and one without a
/// confident sample no second forward pass.
struct TestTimeAdapter::Impl {
  Graph network;
  Shape batch_shape;
  PictureShape picture;
  int64_t classes = 0, batches = 0, steps = 0;  ///< steps: since the last reset
  std::unique_ptr<Model> as_it_is;              ///< of method none, and nothing of what follows
  std::unique_ptr<StepSession> step;
  std::unique_ptr<Session> forward;
  std::map<std::string, Tensor> first;  ///< states of the step
  std::vector<std::string> parameters, statistics;
  std::vector<Tensor> inputs, outputs;
  std::map<std::string, size_t> slots;
  size_t input_slot = 0;

  void refresh_parameters() {
    for (const std::string& name : parameters)
      if (const auto it = slots.find(name); it != slots.end())
        inputs[it->second] = step->state(name);
  }
  /// By what the step has learnt; statistics that it moves, a look at other pictures does not.
  Tensor logits(const Tensor& x) {
    for (const std::string& name : statistics) forward->set_state(name, step->state(name));
    inputs[input_slot] = x;
    forward->run_into(inputs, outputs);
    return outputs[0].clone();
  }
};

TestTimeAdapter::TestTimeAdapter(const Graph& network, const Shape& sample,
                                 const PictureShape& picture, TestTimeOptions options)
    : impl_(std::make_unique<Impl>()), options_(std::move(options)) {
  options_.check("test-time adaptation");
  Impl& m = *impl_;
  m.picture = picture;
  m.network = network;
  if (options_.method == TestTimeMethod::kNone) {
    m.as_it_is = std::make_unique<Model>(network);
    return;
  }
  if (options_.method == TestTimeMethod::kDeyo)
    check_patches(picture, options_.patches, network.name);
  // What is dropped at random in training is not while it answers.
  const std::vector<std::string> tidy = {"fold_identity"};
  run_passes(m.network, {}, tidy);
  StepOptions o;
  o.input = {options_.batch};
  o.input.insert(o.input.end(), sample.begin(), sample.end());
  o.loss = Loss::kEntropy;
  o.optimizer = options_.optimizer;
  o.trained = selected_parameters(m.network, options_.adapted);
  m.batch_shape = o.input;
  m.step = std::make_unique<StepSession>(build_training_step(m.network, o));
  for (const std::string& name : m.step->state_names()) m.first[name] = m.step->state(name);

  Forward f = training_forward(m.network, {o.input_type, o.input}, o.output, o.seed, o.trained);
  m.parameters = f.parameters;
  for (const std::string& name : m.parameters) adapted_ += m.first.at(name).size();
  const std::string input = f.graph.value(f.graph.inputs()[0]).name;
  m.classes = f.graph.value(f.graph.outputs()[0]).tensor().dims[1].value();
  if (m.classes < 2)
    throw bad_input(network.name, "answers " + std::to_string(m.classes) + " number a sample",
                    "adaptation needs logits of two classes and more");
  m.forward = std::make_unique<Session>(compile(f.graph));
  for (const StatePair& s : f.graph.states()) m.statistics.push_back(f.graph.value(s.input).name);
  const Program& p = m.forward->program();
  for (size_t i = 0; i < p.input_names().size(); ++i) {
    m.inputs.emplace_back(p.input_types()[i].dtype, p.input_types()[i].shape());
    m.slots[p.input_names()[i]] = i;
  }
  m.input_slot = m.slots.at(input);
  for (const TensorType& t : p.output_types()) m.outputs.emplace_back(t.dtype, t.shape());
  m.refresh_parameters();
}

TestTimeAdapter::~TestTimeAdapter() = default;

void TestTimeAdapter::reset() {
  if (impl_->as_it_is) return;
  for (const auto& [name, value] : impl_->first) impl_->step->set_state(name, value);
  impl_->refresh_parameters();
  impl_->steps = 0;
}

Graph TestTimeAdapter::network() const {
  if (impl_->as_it_is) return impl_->network;
  std::map<std::string, Tensor> values;
  for (const std::string& name : impl_->step->state_names())
    values[name] = impl_->step->state(name);
  return with_values(impl_->network, values);
}

Tensor TestTimeAdapter::answer(const Tensor& given) {
  Impl& m = *impl_;
  const int64_t rows = given.rank() > 0 ? given.shape()[0] : 0;
  ESP_CHECK(rows >= 1 && rows <= options_.batch, "a batch is larger than what was compiled");
  if (m.as_it_is) {
    counts_.answered += rows;
    counts_.forward += rows;
    return m.as_it_is->run({given}).at(0);
  }
  if (options_.reset_every > 0 && m.batches > 0 && m.batches % options_.reset_every == 0) reset();
  ++m.batches;
  const int64_t width = given.size() / rows;
  Tensor x = given;
  if (rows < options_.batch) {
    x = Tensor(DType::f32, m.batch_shape);
    for (int64_t i = 0; i < options_.batch; ++i)
      std::copy_n(given.data<float>() + i % rows * width, width,
                  x.mutable_data<float>() + i * width);
  }
  const Tensor logits = m.logits(x);
  counts_.answered += rows;
  counts_.forward += options_.batch;
  std::vector<Certainty> sure;
  std::vector<bool> confident;
  TestTimeOptions without_drop = options_;
  without_drop.least_drop = -1;
  int64_t any = 0;
  for (int64_t i = 0; i < rows; ++i) {
    sure.push_back(certainty_of(logits.data<float>() + i * m.classes, m.classes));
    confident.push_back(test_time_weight(without_drop, m.classes, sure.back().entropy, 0) > 0);
    any += confident.back();
  }
  counts_.confident += any;
  Tensor answers(DType::f32, {rows, m.classes});
  std::copy_n(logits.data<float>(), answers.size(), answers.mutable_data<float>());
  if (any == 0) return answers;

  std::vector<double> drop(size_t(rows), 0);
  if (options_.method == TestTimeMethod::kDeyo) {
    Tensor moved(DType::f32, m.batch_shape);
    const Rng rng = Rng(options_.seed, stream_of("patches")).fork(uint64_t(m.batches));
    for (int64_t i = 0; i < options_.batch; ++i)
      shuffle_patches(m.picture, options_.patches, rng.fork(uint64_t(i)),
                      x.data<float>() + i * width, moved.mutable_data<float>() + i * width);
    const Tensor of_moved = m.logits(moved);
    counts_.forward += options_.batch;
    for (int64_t i = 0; i < rows; ++i)
      drop[size_t(i)] =
          sure[size_t(i)].probability -
          probability_of(of_moved.data<float>() + i * m.classes, m.classes, sure[size_t(i)].answer);
  }
  Tensor weights(DType::f32, {options_.batch});
  int64_t chosen = 0;
  for (int64_t i = 0; i < rows; ++i) {
    const double w =
        test_time_weight(options_, m.classes, sure[size_t(i)].entropy, drop[size_t(i)]);
    weights.mutable_data<float>()[i] = float(w);
    chosen += w > 0;
  }
  if (chosen == 0) return answers;
  for (int64_t i = 0; i < rows; ++i) weights.mutable_data<float>()[i] /= float(chosen);
  m.step->run({x, weights}, options_.rate, ++m.steps);
  counts_.chosen += chosen;
  counts_.backward += options_.batch;
  m.refresh_parameters();
  return answers;
}

TestTimeResult adapt_to(const Graph& network, const Dataset& data, const TestTimeOptions& options,
                        Progress* progress) {
  if (data.classes() < 2 || data.target_shape() != Shape{})
    throw bad_input(data.description(), "has no class labels that answers could be compared with");
  TestTimeOptions o = options;
  o.batch = std::min(o.batch, data.size());
  TestTimeAdapter adapter(network, data.sample_shape(), data.picture_shape(), o);
  int64_t right = 0, late = 0, late_right = 0;
  for (int64_t first = 0; first < data.size(); first += o.batch) {
    const int64_t rows = std::min(o.batch, data.size() - first);
    std::vector<int64_t> indices(static_cast<size_t>(rows));
    std::iota(indices.begin(), indices.end(), first);
    const Batch batch = data.fetch(indices);
    const Tensor logits = adapter.answer(batch.inputs);
    const int64_t classes = logits.shape()[1];
    for (int64_t i = 0; i < rows; ++i) {
      const bool hit = certainty_of(logits.data<float>() + i * classes, classes).answer ==
                       batch.targets.data<int64_t>()[i];
      right += hit;
      if (4 * (first + i) >= 3 * data.size()) {
        ++late;
        late_right += hit;
      }
    }
    if (progress) progress->advance(rows);
  }
  return {double(right) / double(data.size()),
          double(late_right) / double(std::max<int64_t>(1, late)), adapter.counts(),
          adapter.network()};
}

}  // namespace espalier
