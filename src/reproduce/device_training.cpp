#include "reproduce/device_training.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "base/progress.h"
#include "train/integer_training.h"
#include "train/selection.h"

namespace espalier {
namespace {

/// Sums may be taken in any order, as vectors want it; numbers that are none stay what they are.
const std::vector<std::string> kFlags = {"-O3", "-march=native", "-fassociative-math",
                                         "-fno-signed-zeros", "-fno-trapping-math"};

CTraining written(CFile& file, const Graph& network, StepGraph step) {
  return add_training(file, network, std::move(step), 1);
}

}  // namespace

DeviceTraining::DeviceTraining(const Graph& network, StepGraph step)
    : file_("device"), training_(written(file_, network, std::move(step))), c_(file_, kFlags) {}

namespace {

/// Calls body(inputs of a step) for every batch, in order, until it returns false.
template <class F>
void for_each_batch(std::shared_ptr<const Dataset> data, const TrainOptions& o, F body) {
  Loader loader(std::move(data), {.batch = o.batch,
                                  .shuffle = true,
                                  .drop_last = true,
                                  .max_batches = o.epoch_steps,
                                  .seed = o.seed});
  int64_t step = 0;
  for (int64_t epoch = 0; epoch < o.epochs; ++epoch) {
    loader.start(epoch);
    for (Batch batch; loader.next(batch); ++step) {
      const double rate = learning_rate(o.schedule, step, loader.batches(), o.epochs);
      if (!body(std::vector<Tensor>{batch.inputs, batch.targets, Tensor::scalar(float(rate))}))
        return;
    }
  }
}

/// The largest difference of a state on two machines beside the largest number. A weight in 8 bits
/// and its rest are one number: where the rest is about half a step, either integer may be near.
template <class Here, class There>
double difference(const CState& state, const CFile& file, Here here, There there) {
  const std::string rest = state.name + ":rest";
  const bool split = std::ranges::count(file.states(), rest, &CState::name) > 0;
  const Tensor a = here(state.name), b = there(state.name);
  const Tensor a_rest = split ? here(rest) : a, b_rest = split ? there(rest) : b;
  const double parts = split ? 1.0 / 256 : 0;
  double most = 0, largest = 1e-6;
  for (int64_t i = 0; i < a.size(); ++i) {
    const double x = a.at(i) + parts * a_rest.at(i), y = b.at(i) + parts * b_rest.at(i);
    most = std::max(most, apart(x, y));
    if (std::isfinite(y)) largest = std::max(largest, std::abs(y));
  }
  return most / largest;
}

}  // namespace

bool DeviceTraining::learn(std::shared_ptr<const Dataset> data, const TrainOptions& o) {
  c_.init();
  std::vector<Tensor> loss = {Tensor(DType::f32, {})};
  bool finite = true;
  for_each_batch(data, o, [&](const std::vector<Tensor>& in) {
    if (c_.run_into(0, in, loss) != 0)
      throw bad_input(data->description(), "has a label that is no class of the network");
    return finite = std::isfinite(loss[0].at(0));
  });
  return finite;
}

DeviceProof DeviceTraining::emulated(const std::string& name, const DeviceMemory& memory,
                                     int64_t steps, std::shared_ptr<const Dataset> data,
                                     const TrainOptions& o, const Dataset& test) const {
  const EmulatedC device(file_, name, memory);
  std::vector<DeviceCall> calls;
  for_each_batch(data, o, [&](std::vector<Tensor> in) {
    calls.push_back({0, std::move(in)});
    return int64_t(calls.size()) < steps;
  });
  Progress progress("learning on the device", int64_t(calls.size()), "steps");
  int64_t told = 0;
  const DeviceRun run = device.run(calls, {.states_of_each = true, .progress = [&](double share) {
                                             const auto done =
                                                 int64_t(share * double(calls.size()));
                                             progress.advance(done - std::exchange(told, done));
                                           }});
  // Each step from what the device had learnt before it: differences do not add up.
  const CompiledC here(file_, {"-O2", "-ffp-contract=off"});
  here.init();
  DeviceProof proof;
  for (size_t i = 0; i < calls.size(); ++i) {
    here.run(0, calls[i].inputs);
    const auto learnt = [&](const std::string& state) {
      return device.state(run.answers[i].states, state);
    };
    for (const CState& s : file_.states())
      if (!s.name.ends_with(":rest"))
        proof.difference = std::max(
            proof.difference,
            difference(s, file_, learnt, [&](const std::string& n) { return here.state(n); }));
    for (const CState& s : file_.states()) here.set_state(s.name, learnt(s.name));
  }
  for (const CState& s : file_.states()) c_.set_state(s.name, here.state(s.name));
  proof.accuracy = accuracy(test);
  proof.steps = int64_t(calls.size());
  proof.flash_bytes = run.flash_bytes;
  proof.static_bytes = run.static_bytes;
  proof.stack_bytes = run.stack_bytes;
  // One step writes to what every step writes to.
  const std::span<const DeviceCall> first(calls.data(), std::min<size_t>(1, calls.size()));
  proof.touched_bytes =
      std::max(run.touched_bytes, device.run(first, {.filling = 0x5a}).touched_bytes);
  proof.first_loss = run.answers.front().outputs[0].at(0);
  proof.last_loss = run.answers.back().outputs[0].at(0);
  proof.instructions = run.answers.back().instructions;
  return proof;
}

double DeviceTraining::accuracy(const Dataset& data) const {
  int64_t right = 0;
  const TensorType& answer = training_.run.outputs.at(0).type;
  std::vector<Tensor> logits = {Tensor(answer.dtype, answer.shape())};
  for (int64_t i = 0; i < data.size(); ++i) {
    const Batch one = data.fetch(std::vector<int64_t>{i});
    const std::vector<Tensor> in = {one.inputs};
    if (c_.run_into(1, in, logits) != 0) continue;
    const float* p = logits[0].data<float>();
    right += std::max_element(p, p + logits[0].size()) - p == one.targets.int_at(0);
  }
  return 100.0 * double(right) / double(std::max<int64_t>(1, data.size()));
}

size_t DeviceTraining::touched_bytes(const Dataset& data, int64_t batch) const {
  std::vector<int64_t> first(static_cast<size_t>(batch));
  std::iota(first.begin(), first.end(), int64_t{0});
  const Batch many = data.fetch(first), one = data.fetch(std::vector<int64_t>{0});
  c_.init();
  const std::vector<Tensor> step = {many.inputs, many.targets, Tensor::scalar(1e-3f)};
  const std::vector<Tensor> run = {one.inputs};
  return std::max(c_.touched_bytes(0, step), c_.touched_bytes(1, run));
}

std::vector<IntegerLayer> integer_layers(const Graph& g) {
  std::map<NodeId, size_t> place;
  for (size_t i = 0; i < g.order().size(); ++i) place[g.order()[i]] = i;
  // Of the parameters that one node reads the weight comes first.
  std::map<std::tuple<size_t, bool, ValueId>, const Value*> read;
  for (ValueId v : g.constants()) {
    const Value& value = g.value(v);
    const std::vector<Reading> readings = readings_of(g, v);
    if (value.role != Role::kParameter || readings.empty()) continue;
    read[{place.at(readings[0].node), value.constant->dtype() != DType::i8, v}] = &value;
  }
  std::vector<IntegerLayer> layers;
  for (const auto& [at, value] : read) {
    if (value->constant->dtype() == DType::i8) layers.push_back({value->name, {}, 0});
    if (layers.empty()) continue;
    layers.back().parameters.insert(value->name);
    layers.back().elements += value->constant->size();
  }
  return layers;
}

ChosenLayers choose_layers(const Graph& quantised, const StepOptions& options,
                           const std::vector<IntegerLayer>& layers,
                           const std::vector<double>& contributions, size_t budget) {
  constexpr size_t kMost = 12;
  if (layers.empty() || layers.size() > kMost)
    throw unsupported(quantised.name, "has " + std::to_string(layers.size()) +
                                          " layers in integers, 1 to " + std::to_string(kMost) +
                                          " are weighed against each other");
  std::optional<ChosenLayers> best;
  double most = 0;
  const size_t last = layers.size() - 1;
  for (size_t set = 0; set < (size_t{1} << last); ++set) {
    ChosenLayers c;
    double sum = 0;
    bool useful = true;
    for (size_t i = 0; i < layers.size(); ++i) {
      if (i < last && !(set >> i & 1)) continue;
      c.layers.push_back(i);
      c.parameters.insert(layers[i].parameters.begin(), layers[i].parameters.end());
      if (i == last) continue;
      sum += contributions[i];
      useful = useful && contributions[i] > 0;
    }
    if (!useful || (best && sum <= most)) continue;
    StepOptions o = options;
    o.trained = c.parameters;
    IntegerTraining t = build_integer_step(quantised, o);
    CFile file("weighed");
    add_training(file, t.network, std::move(t.step), 1);
    c.arena_bytes = file.arena_bytes();
    if (c.arena_bytes > budget) continue;
    most = sum;
    best = std::move(c);
  }
  if (!best)
    throw UserError(ExitCode::kInfeasible, quantised.name,
                    "does not fit into " + std::to_string(budget) +
                        " bytes even if its last layer alone is trained",
                    "take a smaller batch");
  return std::move(*best);
}

}  // namespace espalier
