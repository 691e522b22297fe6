#include "base/progress.h"

#include <cmath>
#include <cstdio>

#include "base/log.h"
#include "base/terminal.h"

namespace espalier {
namespace {

constexpr int64_t kRedrawEveryUs = 100'000;
constexpr int64_t kLineEveryUs = 30'000'000;

std::string format_rate(double rate) {
  char text[32];
  const int digits = rate >= 100 ? 0 : rate >= 10 ? 1 : 2;
  std::snprintf(text, sizeof text, "%.*f", digits, rate);
  return text;
}

}  // namespace

std::string format_duration(double seconds) {
  const int64_t s = std::llround(std::fmin(std::fmax(seconds, 0.0), 1e9));
  char text[48];
  if (s < 60) {
    std::snprintf(text, sizeof text, "%d s", int(s));
  } else if (s < 3600) {
    std::snprintf(text, sizeof text, "%d min %02d s", int(s / 60), int(s % 60));
  } else {
    std::snprintf(text, sizeof text, "%lld h %02d min", static_cast<long long>(s / 3600),
                  int(s / 60 % 60));
  }
  return text;
}

std::string progress_line(const std::string& what, int64_t done, int64_t total,
                          const std::string& unit, double seconds, const std::string& note) {
  std::string line = what;
  if (total > 0) {
    line += "  " + std::to_string(done * 100 / total) + " %";
    line += "  " + std::to_string(done) + "/" + std::to_string(total);
  } else {
    line += "  " + std::to_string(done);
  }
  if (done > 0 && seconds > 0) {
    const double rate = double(done) / seconds;
    line += "  " + format_rate(rate) + (unit.empty() ? "/s" : " " + unit + "/s");
    if (total > done) line += "  " + format_duration(double(total - done) / rate) + " left";
  }
  if (!note.empty()) line += "  " + note;
  return line;
}

Progress::Progress(std::string what, int64_t total, std::string unit)
    : what_(std::move(what)),
      unit_(std::move(unit)),
      total_(total),
      start_(std::chrono::steady_clock::now()),
      next_draw_us_(terminal_can_redraw() ? kRedrawEveryUs : kLineEveryUs) {}

Progress::~Progress() {
  if (terminal_can_redraw()) terminal_redraw("");
}

void Progress::advance(int64_t n) {
  done_ += n;
  draw_if_due();
}

void Progress::note(std::string text) { note_ = std::move(text); }

void Progress::draw_if_due() {
  if (is_quiet()) return;
  const auto elapsed = std::chrono::steady_clock::now() - start_;
  const int64_t us = std::chrono::duration_cast<std::chrono::microseconds>(elapsed).count();
  int64_t due = next_draw_us_;
  const bool redraw = terminal_can_redraw();
  // Whoever moves the deadline draws; the others go on.
  if (us < due ||
      !next_draw_us_.compare_exchange_strong(due, us + (redraw ? kRedrawEveryUs : kLineEveryUs)))
    return;
  const std::string line = progress_line(what_, done_, total_, unit_, double(us) * 1e-6, note_);
  if (redraw) {
    terminal_redraw(line);
  } else {
    terminal_write_line(line);
  }
}

}  // namespace espalier
