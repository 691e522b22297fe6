// The log of a run: one JSON object per line, appended as it happens. A line that was being written
// when the process died, and lines after the checkpoint a run goes on from, are cut off on resume.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace espalier {

class RunLog {
 public:
  /// No file: lines go nowhere.
  RunLog() = default;
  /// Keeps the first `keep` bytes of an existing file. UserError when it cannot be written, or is
  /// shorter than that.
  RunLog(std::filesystem::path path, int64_t keep);
  ~RunLog();
  RunLog(RunLog&& other) noexcept;
  RunLog& operator=(RunLog&& other) noexcept;

  /// Appends a line (without its newline).
  void line(const std::string& text);
  /// Waits until all lines are on disk: before a checkpoint that counts on them.
  void sync();
  int64_t bytes() const { return bytes_; }

 private:
  std::filesystem::path path_;
  int fd_ = -1;
  int64_t bytes_ = 0;
};

}  // namespace espalier
