#include "runtime/tuning_session.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "base/log.h"
#include "base/threads.h"

namespace espalier {

using Clock = std::chrono::steady_clock;

namespace {

/// Who has the machine's cores: a run, or a step of tuning. Where both wait, they take turns.
class Turns {
 public:
  enum class Who { kRun, kStep };

  void begin(Who who) {
    const bool run = who == Who::kRun;
    std::unique_lock lock(mutex_);
    int& waiting = run ? runs_ : steps_;
    const int& others = run ? steps_ : runs_;
    ++waiting;
    free_.wait(lock, [&] { return !busy_ && (others == 0 || last_ != who); });
    --waiting;
    busy_ = true;
    last_ = who;
  }
  void end() {
    {
      const std::lock_guard lock(mutex_);
      busy_ = false;
    }
    free_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable free_;
  bool busy_ = false;
  int runs_ = 0, steps_ = 0;  // that wait
  Who last_ = Who::kStep;
};

class Turn {
 public:
  Turn(Turns& turns, Turns::Who who) : turns_(turns) { turns_.begin(who); }
  ~Turn() { turns_.end(); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  Turns& turns_;
};

}  // namespace

struct TuningSession::Impl {
  const Graph graph;
  const TuningSessionOptions options;
  Tuner tuner;  // touched by the thread alone

  Turns turns;

  mutable std::mutex state;  // of what follows
  std::condition_variable changed;
  std::shared_ptr<const Program> current;
  TunedKernels decided;
  bool over = false, stopping = false;
  int exchanges = 0;

  std::optional<Session> session;  // in a turn; always there
  std::thread thread;

  Impl(const Graph& g, const TuningSessionOptions& o, TunedKernels known)
      : graph(g),
        options(o),
        tuner(network_products(g, o.compile), o.tune, known),
        current(compile(g, with(known))),
        decided(std::move(known)),
        session(std::in_place, current) {
    thread = std::thread([this] { tune(); });
  }

  ~Impl() {
    {
      const std::lock_guard lock(state);
      stopping = true;
    }
    changed.notify_all();
    thread.join();
  }

  CompileOptions with(const TunedKernels& kernels) const {
    CompileOptions c = options.compile;
    c.choices = std::make_shared<const TunedKernels>(kernels);
    return c;
  }

  void tune() {
    try {
      for (int64_t seen = 0; step();) {
        if (tuner.decided() == seen) continue;
        seen = tuner.decided();
        exchange();
      }
    } catch (const std::exception& e) {
      log_warning(std::string("tuning has ended: ") + e.what());
    }
    const std::lock_guard lock(state);
    over = true;
    changed.notify_all();
  }

  /// One step, then a pause of such a length that the share is kept.
  bool step() {
    bool more = false;
    Clock::duration pause{};
    {
      const Turn turn(turns, Turns::Who::kStep);
      const auto start = Clock::now();
      more = tuner.step();
      pause = std::chrono::duration_cast<Clock::duration>((Clock::now() - start) *
                                                          (1 / options.share - 1));
    }
    std::unique_lock lock(state);
    changed.wait_for(lock, pause, [&] { return stopping; });
    return more && !stopping;
  }

  /// What is decided now becomes the program, unless it changes nothing.
  void exchange() {
    TunedKernels kernels = tuner.kernels();
    std::shared_ptr<const Program> next;
    {
      const SerialScope serial;  // beside runs
      next = compile(graph, with(kernels));
    }
    const bool same = same_kernels(*next, *current);
    if (!same) {
      const Turn turn(turns, Turns::Who::kStep);
      Session fresh(next);
      for (const std::string& name : next->state_names())
        fresh.set_state(name, session->state(name));
      session.emplace(std::move(fresh));
    }
    const std::lock_guard lock(state);
    decided = std::move(kernels);
    if (same) return;
    current = std::move(next);
    ++exchanges;
  }

  static bool same_kernels(const Program& a, const Program& b) {
    const auto& x = a.instructions();
    const auto& y = b.instructions();
    return std::equal(x.begin(), x.end(), y.begin(), y.end(),
                      [](const auto& i, const auto& j) { return i.kernel == j.kernel; });
  }
};

TuningSession::TuningSession(const Graph& graph, const TuningSessionOptions& options,
                             TunedKernels known)
    : impl_(std::make_unique<Impl>(graph, options, std::move(known))) {}
TuningSession::~TuningSession() = default;

void TuningSession::run_into(std::span<const Tensor> inputs, std::span<Tensor> outputs) {
  const Turn turn(impl_->turns, Turns::Who::kRun);
  impl_->session->run_into(inputs, outputs);
}

std::vector<Tensor> TuningSession::run(std::span<const Tensor> inputs) {
  const auto now = program();  // held: another may take its place meanwhile
  std::vector<Tensor> outputs;
  for (const TensorType& t : now->output_types()) outputs.emplace_back(t.dtype, t.shape());
  run_into(inputs, outputs);
  return outputs;
}

std::shared_ptr<const Program> TuningSession::program() const {
  const std::lock_guard lock(impl_->state);
  return impl_->current;
}

bool TuningSession::tuning() const {
  const std::lock_guard lock(impl_->state);
  return !impl_->over;
}

int TuningSession::exchanges() const {
  const std::lock_guard lock(impl_->state);
  return impl_->exchanges;
}

TunedKernels TuningSession::kernels() const {
  const std::lock_guard lock(impl_->state);
  return impl_->decided;
}

void TuningSession::wait() {
  std::unique_lock lock(impl_->state);
  impl_->changed.wait(lock, [&] { return impl_->over; });
}

}  // namespace espalier
