#include "serve/signals.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <thread>
#include <utility>

namespace espalier::serve {

struct StopSignals::State {
  sigset_t set{};
  std::mutex mutex;
  std::function<void()> stop;
  std::atomic<bool> done = false;
  std::thread thread;

  void loop() {
    while (true) {
      int signal = 0;
      sigwait(&set, &signal);
      if (done) return;
      std::unique_lock lock(mutex);
      const auto handler = std::exchange(stop, nullptr);
      if (!handler) _exit(128 + signal);
      handler();
    }
  }
};

StopSignals::StopSignals() : state_(std::make_unique<State>()) {
  sigemptyset(&state_->set);
  sigaddset(&state_->set, SIGTERM);
  sigaddset(&state_->set, SIGINT);
  pthread_sigmask(SIG_BLOCK, &state_->set, nullptr);
  state_->thread = std::thread([state = state_.get()] { state->loop(); });
}

StopSignals::~StopSignals() {
  state_->done = true;
  pthread_kill(state_->thread.native_handle(), SIGTERM);
  state_->thread.join();
}

void StopSignals::on_stop(std::function<void()> stop) {
  const std::lock_guard lock(state_->mutex);
  state_->stop = std::move(stop);
}

}  // namespace espalier::serve
