// What is told while a measurement trains many small networks: one line each, with what is left.
#pragma once

#include <chrono>
#include <string>

#include "base/log.h"
#include "base/progress.h"

namespace espalier {

class RunCount {
 public:
  explicit RunCount(int64_t total) : total_(total), start_(Clock::now()) {}
  /// "12/40  TEXT  1 min 10 s left".
  void done(const std::string& text) {
    ++done_;
    const double spent = std::chrono::duration<double>(Clock::now() - start_).count();
    log_info(std::to_string(done_) + "/" + std::to_string(total_) + "  " + text + "  " +
             format_duration(spent / double(done_) * double(total_ - done_)) + " left");
  }

 private:
  using Clock = std::chrono::steady_clock;
  int64_t total_, done_ = 0;
  Clock::time_point start_;
};

}  // namespace espalier
