#include "base/log.h"

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <utility>

#include "base/terminal.h"

namespace espalier {
namespace {

std::atomic<bool> g_quiet{false};
std::mutex g_mutex;
LogSink g_sink;
std::string g_drawn;

constexpr std::string_view kEraseLine = "\r\033[K";

void put(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); }

}  // namespace

void set_quiet(bool quiet) { g_quiet = quiet; }
bool is_quiet() { return g_quiet; }

void log_info(std::string_view message) {
  if (!g_quiet) terminal_write_line(message);
}

void log_warning(std::string_view message) {
  terminal_write_line("warning: " + std::string(message));
}

LogSink set_log_sink(LogSink sink) {
  std::lock_guard lock(g_mutex);
  return std::exchange(g_sink, std::move(sink));
}

bool terminal_can_redraw() {
  static const bool terminal = [] {
    const char* term = std::getenv("TERM");
    return ::isatty(STDERR_FILENO) == 1 && term && std::string_view(term) != "dumb";
  }();
  std::lock_guard lock(g_mutex);
  return terminal && !g_sink;
}

void terminal_redraw(std::string_view line) {
  std::lock_guard lock(g_mutex);
  if (line.empty() && g_drawn.empty()) return;
  put(kEraseLine);
  put(line);
  std::fflush(stderr);
  g_drawn = line;
}

void terminal_write_line(std::string_view line) {
  std::lock_guard lock(g_mutex);
  if (g_sink) {
    g_sink(line);
    return;
  }
  if (!g_drawn.empty()) put(kEraseLine);
  put(std::string(line) + "\n");
  put(g_drawn);
  std::fflush(stderr);
}

}  // namespace espalier
