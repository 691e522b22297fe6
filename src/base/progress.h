// Progress of a long loop: percentage, rate and remaining time.
//
// On a terminal one line of standard error is redrawn in place, at most ten times a second. Where
// standard error is a file or a pipe, a line is written every half minute instead, so that logs
// stay short. When quiet, nothing is written. Log lines interrupt a drawn line cleanly.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

namespace espalier {

class Progress {
 public:
  /// `what` names the work ("decoding images"); `unit` its items ("images"); `total` how many there
  /// are, or 0 when that is unknown.
  Progress(std::string what, int64_t total, std::string unit = "");
  /// Erases the line.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Counts `n` more items as done. May be called from any thread.
  void advance(int64_t n = 1);
  /// Appended to the line: "loss 0.31". Call from one thread.
  void note(std::string text);

 private:
  void draw_if_due();

  const std::string what_, unit_;
  const int64_t total_;
  std::string note_;
  const std::chrono::steady_clock::time_point start_;
  std::atomic<int64_t> done_{0};
  std::atomic<int64_t> next_draw_us_;
};

/// The text of a progress line: "decoding images  42 %  25200/60000  3104 images/s  11 s left".
/// Rate and remaining time are left out while nothing is known about them.
std::string progress_line(const std::string& what, int64_t done, int64_t total,
                          const std::string& unit, double seconds, const std::string& note = "");

/// "8 s", "3 min 20 s", "2 h 05 min".
std::string format_duration(double seconds);

}  // namespace espalier
