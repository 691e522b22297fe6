// SIGTERM and SIGINT on a thread of their own, so that they are heard whatever the others do.
#pragma once

#include <functional>
#include <memory>

namespace espalier::serve {

class StopSignals {
 public:
  /// Blocks both signals for this thread and those it starts: to be made before any other thread.
  StopSignals();
  ~StopSignals();

  /// The first signal from now on calls `stop`; another one ends the process at once, with 128 and
  /// the signal's number. Without `stop` (before, or when it is empty) any signal does. Returns
  /// when no earlier `stop` is running any more.
  void on_stop(std::function<void()> stop);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace espalier::serve
