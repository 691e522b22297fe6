#include "train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>

#include "base/error.h"
#include "base/formatted.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/threads.h"
#include "ir/text.h"
#include "train/divergence.h"
#include "train/epoch_line.h"
#include "train/estimator.h"
#include "train/log.h"
#include "train/step_session.h"
#include "train/stop.h"
#include "train/trained_step.h"

namespace espalier {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

LoaderOptions loader_options(const TrainOptions& o) {
  LoaderOptions l;
  l.batch = o.batch;
  l.shuffle = true;
  l.drop_last = true;
  l.max_batches = o.epoch_steps;
  l.seed = o.seed;
  l.augment = o.augment;
  l.views = views_of(o.loss);
  return l;
}

/// The first `key=value` of two fingerprints that differs, or empty.
std::string first_difference(const std::string& before, const std::string& now) {
  size_t a = 0, b = 0;
  while (a < before.size() || b < now.size()) {
    const size_t end_a = std::min(before.find(';', a), before.size());
    const size_t end_b = std::min(now.find(';', b), now.size());
    const std::string x = before.substr(a, end_a - a), y = now.substr(b, end_b - b);
    if (x != y) return x + ", not " + y;
    a = std::min(end_a + 1, before.size());
    b = std::min(end_b + 1, now.size());
  }
  return "";
}

}  // namespace

struct Trainer::Impl {
  Trainer& self;
  Graph network;
  std::shared_ptr<const Dataset> train_data, val_data;
  TrainOptions options;
  TrainFiles files;
  std::vector<TrainHook*> hooks;
  Loader loader;
  std::unique_ptr<StepSession> step;
  int64_t saved_bytes = 0;  ///< of activations

  Checkpoint at;  ///< where the run stands; its states and hooks are filled when it is saved
  std::optional<Checkpoint> good;  ///< some steps ago, to look from when numbers stop being finite
  bool stopping = false;
  std::vector<float> step_ms;

  Impl(Trainer& t, Graph net, std::shared_ptr<const Dataset> train,
       std::shared_ptr<const Dataset> val, TrainOptions o, TrainFiles f, std::vector<TrainHook*> h)
      : self(t),
        network(std::move(net)),
        train_data(std::move(train)),
        val_data(std::move(val)),
        options(fitted(std::move(o), *train_data)),
        files(std::move(f)),
        hooks(std::move(h)),
        loader(train_data, loader_options(options)) {
    TrainedStep built = trained_step(network, options, *train_data, hooks);
    saved_bytes = built.saved_bytes;
    step = std::make_unique<StepSession>(std::move(built.step));
    at.seed = options.seed;
    at.threads = num_threads();
    at.options =
        options.fingerprint() + ";data=" + train_data->description() +
        (val_data ? " | " + val_data->description() : "") + ";network=" +
        std::to_string(stream_of(print(network, {.max_literal = 0, .elide_large = true}))) +
        frozen_text();
  }

  /// What is not in the checkpoint must be the same when a run goes on: parameters that stay, and
  /// constants that are none.
  std::string frozen_text() const {
    uint64_t sum = 0;
    int64_t frozen = 0;
    for (ValueId v : network.constants()) {
      const Value& value = network.value(v);
      if (step->graph().initial.contains(value.name) || value.constant->dtype() == DType::string)
        continue;
      const std::string_view bytes(static_cast<const char*>(value.constant->raw()),
                                   value.constant->bytes());
      sum = stream_of(value.name) + 31 * (sum ^ stream_of(bytes));
      ++frozen;
    }
    return ";frozen=" + std::to_string(frozen) + " of value " + std::to_string(sum);
  }

  static TrainOptions fitted(TrainOptions o, const Dataset& data) {
    o.check("training options");
    o.batch = std::min(o.batch, data.size());
    return o;
  }

  /// Labels of a batch: one a sample, or one a token.
  double answers_of_batch() const {
    return double(options.batch) * double(numel(train_data->target_shape()));
  }

  int64_t total_steps() const { return options.epochs * loader.batches(); }

  StepReport coming() const {
    StepReport r;
    r.step = at.step;
    r.epoch = at.epoch;
    r.steps_per_epoch = loader.batches();
    r.total_steps = total_steps();
    r.learning_rate = learning_rate(options.schedule, at.step, loader.batches(), options.epochs);
    return r;
  }

  StepReport run_step(Batch batch) {
    StepReport r = coming();
    for (TrainHook* hook : hooks) hook->before_step(self, r);
    step->run(std::move(batch), r.learning_rate, at.step + 1);
    r.loss = step->scalar(step->graph().loss);
    const ValueId correct = step->graph().correct;
    r.correct = correct == kNoValue ? 0 : step->scalar(correct) / answers_of_batch();
    if (!std::isfinite(r.loss)) diverged("the loss became " + formatted("%g", r.loss));
    ++at.step;
    ++at.position;
    at.loss_sum += r.loss * double(options.batch);
    at.correct += r.correct * double(options.batch);
    for (TrainHook* hook : hooks) hook->after_step(self, r);
    return r;
  }

  /// Keeps a copy of where the run stands, where that is small. Hooks change steps in ways that
  /// cannot be done again.
  void remember(int64_t log_bytes) {
    constexpr int64_t kEvery = 64;
    constexpr size_t kMostBytes = size_t{256} << 20;
    if (!hooks.empty() || at.position % kEvery != 0) return;
    Checkpoint copy = at;
    size_t bytes = 0;
    for (const auto& [name, first] : step->graph().initial) bytes += first.bytes();
    if (bytes > kMostBytes) return;
    for (const std::string& name : step->state_names()) copy.states[name] = step->state(name);
    for (const auto& [name, t] : copy.states)
      if (!all_finite(t)) return;
    copy.log_bytes = log_bytes;
    good = std::move(copy);
  }

  /// Goes through the steps since `good` again and says which value of which step was the first not
  /// to be finite; empty where that cannot be told. The states are then those of `good`.
  std::string first_cause() {
    if (!good) return "";
    const auto back = [&](const std::map<std::string, Tensor>& states) {
      for (const auto& [name, t] : states) step->set_state(name, t);
    };
    back(good->states);
    Loader again(train_data, loader_options(options));
    again.start(good->epoch, good->position);
    std::string cause;
    Batch batch;
    for (int64_t number = good->step; number <= at.step && again.next(batch); ++number) {
      std::map<std::string, Tensor> before;
      for (const std::string& name : step->state_names()) before[name] = step->state(name);
      const double rate = learning_rate(options.schedule, number, loader.batches(), options.epochs);
      step->run(batch, rate, number + 1);
      bool finite = std::isfinite(step->scalar(step->graph().loss));
      for (const std::string& name : step->state_names())
        finite = finite && all_finite(step->state(name));
      if (finite) continue;
      const std::string what = first_not_finite(step->graph(), before, batch, rate, number + 1);
      if (!what.empty()) cause = what + " at step " + std::to_string(number);
      break;
    }
    back(good->states);
    return cause;
  }

  /// Puts `good` on disk where nothing newer is.
  void keep_good() const {
    if (!good || files.checkpoints.empty()) return;
    const CheckpointFolder folder(files.checkpoints);
    const auto newest = folder.newest();
    if (!newest || newest->step < good->step) folder.save(*good);
  }

  [[noreturn]] void diverged(const std::string& what) {
    const std::string cause = first_cause();
    keep_good();
    std::string hint = "lower the learning rate, warm up longer, or clip gradients";
    if (!files.checkpoints.empty() && !CheckpointFolder(files.checkpoints).files().empty())
      hint +=
          "; the last good state is " + CheckpointFolder(files.checkpoints).files().back().string();
    throw divergence(what + " at step " + std::to_string(at.step) + " (epoch " +
                         std::to_string(at.epoch + 1) + ")" +
                         (cause.empty() ? "" : "; the first value that is not finite is " + cause),
                     hint);
  }

  void save(RunLog& log) {
    at.states.clear();
    for (const std::string& name : step->state_names()) {
      Tensor t = step->state(name);
      if (!all_finite(t)) diverged("'" + name + "' is no longer finite");
      at.states[name] = std::move(t);
    }
    if (files.checkpoints.empty()) return;
    at.hooks.clear();
    for (size_t i = 0; i < hooks.size(); ++i)
      for (const auto& [name, t] : hooks[i]->save()) at.hooks[std::to_string(i) + "/" + name] = t;
    log.sync();
    at.log_bytes = log.bytes();
    CheckpointFolder(files.checkpoints).save(at);
    at.states.clear();
  }

  void restore(Checkpoint c) {
    for (const std::string& name : step->state_names())
      if (!c.states.contains(name)) throw bad_input("checkpoint", "lacks the state '" + name + "'");
    for (const auto& [name, t] : c.states) step->set_state(name, t);
    for (size_t i = 0; i < hooks.size(); ++i) {
      std::map<std::string, Tensor> own;
      const std::string prefix = std::to_string(i) + "/";
      for (const auto& [name, t] : c.hooks)
        if (name.starts_with(prefix)) own[name.substr(prefix.size())] = t;
      hooks[i]->restore(own);
    }
    at = std::move(c);
    at.states.clear();
    at.hooks.clear();
  }

  EpochReport close_epoch(double last_rate) {
    EpochReport e;
    e.epoch = at.epoch + 1;
    e.steps = at.step;
    e.learning_rate = last_rate;
    const double samples = double(loader.batches() * options.batch);
    e.train_loss = at.loss_sum / samples;
    e.train_accuracy = at.correct / samples;
    e.seconds = at.seconds;
    if (val_data) {
      const auto start = Clock::now();
      const Evaluation v = self.evaluate(*val_data);
      if (!std::isfinite(v.loss)) diverged("the validation loss became " + formatted("%g", v.loss));
      e.val_loss = v.loss;
      e.val_accuracy = v.accuracy;
      e.val_seconds = seconds_since(start);
    }
    ++at.epoch;
    at.position = 0;
    at.loss_sum = at.correct = at.seconds = 0;
    at.history.push_back(e);
    return e;
  }

  bool should_stop() const { return stopping || stop_requested(); }

  /// Steps of the running epoch; false when stopped before its end.
  bool run_epoch(RunLog& log, Progress& progress, double& last_rate) {
    loader.start(at.epoch, at.position);
    Batch batch;
    auto before = Clock::now();
    remember(log.bytes());
    while (loader.next(batch)) {
      const StepReport r = run_step(std::move(batch));
      last_rate = r.learning_rate;
      const double spent = seconds_since(before);
      before = Clock::now();
      at.seconds += spent;
      note_time(float(1e3 * spent));
      if (options.log_every > 0 && at.step % options.log_every == 0) log.line(log_line(r, at.step));
      progress.note(formatted("epoch %lld/%lld  loss %.3f", (long long)(r.epoch + 1),
                              (long long)options.epochs,
                              at.loss_sum / double(at.position * options.batch)));
      progress.advance();
      const bool last = at.position == loader.batches();
      if (!last) remember(log.bytes());
      if (should_stop() && !last) return false;
      if (options.save_every > 0 && at.step % options.save_every == 0 && !last) save(log);
    }
    return true;
  }

  void note_time(float ms) {
    constexpr size_t kKept = 1024;
    if (step_ms.size() >= kKept) step_ms.erase(step_ms.begin());
    step_ms.push_back(ms);
  }

  TrainResult run() {
    RunLog log;
    if (!files.log.empty()) log = RunLog(files.log, at.log_bytes);
    for (TrainHook* hook : hooks) hook->on_start(self);
    stopping = false;
    {
      Progress progress(options.name, total_steps() - at.step, "steps");
      double last_rate = 0;
      while (at.epoch < options.epochs && !should_stop()) {
        if (!run_epoch(log, progress, last_rate)) break;
        const EpochReport e = close_epoch(last_rate);
        for (TrainHook* hook : hooks) hook->after_epoch(self, e);
        log.line(log_line(e));
        log_info(epoch_line(e, options, *train_data, val_data.get()));
        save(log);
      }
    }
    const bool finished = at.epoch == options.epochs;
    if (!finished && at.position > 0) save(log);
    return {at.history, finished};
  }
};

Trainer::Trainer(Graph network, std::shared_ptr<const Dataset> train,
                 std::shared_ptr<const Dataset> val, TrainOptions options, TrainFiles files,
                 std::vector<TrainHook*> hooks)
    : impl_(std::make_unique<Impl>(*this, std::move(network), std::move(train), std::move(val),
                                   std::move(options), std::move(files), std::move(hooks))) {}
Trainer::~Trainer() = default;

bool Trainer::resume(bool any_threads) {
  auto found = CheckpointFolder(impl_->files.checkpoints).newest();
  if (!found) return false;
  const std::string where = CheckpointFolder(impl_->files.checkpoints).files().back().string();
  if (const std::string d = first_difference(found->options, impl_->at.options); !d.empty())
    throw bad_input(where, "was made with " + d,
                    "go on with the same recipe, or start again with --overwrite");
  if (found->threads != num_threads() && !any_threads)
    throw usage_error(where,
                      "was made with " + std::to_string(found->threads) + " threads, not " +
                          std::to_string(num_threads()) +
                          "; the result would differ in its last digits",
                      "use --threads " + std::to_string(found->threads) + ", or --any-threads");
  found->threads = num_threads();
  impl_->restore(std::move(*found));
  return true;
}

TrainResult Trainer::train() { return impl_->run(); }
void Trainer::stop() { impl_->stopping = true; }

Graph Trainer::network() const {
  std::map<std::string, Tensor> values;
  for (ValueId v : impl_->network.constants()) {
    const std::string& name = impl_->network.value(v).name;
    if (impl_->step->graph().initial.contains(name)) values[name] = impl_->step->state(name);
  }
  return with_values(impl_->network, values);
}

Evaluation Trainer::evaluate(const Dataset& data) const {
  return espalier::evaluate(network(), data, impl_->options.loss, impl_->options.eval_batch,
                            impl_->options.output);
}

const TrainOptions& Trainer::options() const { return impl_->options; }
const StepGraph& Trainer::step_graph() const { return impl_->step->graph(); }
Tensor Trainer::state(const std::string& name) const { return impl_->step->state(name); }
void Trainer::set_state(const std::string& name, const Tensor& value) {
  impl_->step->set_state(name, value);
}
std::vector<std::string> Trainer::state_names() const { return impl_->step->state_names(); }

void Trainer::set_input(const std::string& name, const Tensor& value) {
  impl_->step->set_input(name, value);
}
Tensor Trainer::output(const std::string& name) const { return impl_->step->output(name); }

StepMemory Trainer::memory() const { return impl_->step->memory(); }
int64_t Trainer::optimizer_bytes() const { return impl_->step->graph().optimizer_bytes; }
int64_t Trainer::saved_bytes() const { return impl_->saved_bytes; }
int64_t Trainer::steps_done() const { return impl_->at.step; }
int64_t Trainer::queries() const {
  const auto& estimator = impl_->step->graph().estimator;
  return estimator ? estimator->queries() : 0;
}
int64_t Trainer::steps_per_epoch() const { return impl_->loader.batches(); }
const std::vector<float>& Trainer::step_ms() const { return impl_->step_ms; }

}  // namespace espalier
