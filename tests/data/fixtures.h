// Folders, pictures and environment that the tests of data share.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/threads.h"
#include "formats/images.h"
#include "formats/zip.h"
#include "tests/support/tree.h"

namespace espalier {

/// A folder of its own, gone at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    static int count = 0;
    path_ = std::filesystem::temp_directory_path() /
            ("espalier_data_test_" + std::to_string(::getpid()) + "_" + std::to_string(count++));
    std::filesystem::create_directories(path_);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  const std::filesystem::path& path() const { return path_; }
  void write(const std::string& name, const std::string& bytes) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    write_file_atomic(path_ / name, bytes);
  }

 private:
  std::filesystem::path path_;
};

/// The cache folder is inside a temporary folder while this lives.
class TemporaryCache {
 public:
  TemporaryCache() { ::setenv("ESPALIER_CACHE", folder_.path().c_str(), 1); }
  ~TemporaryCache() { ::unsetenv("ESPALIER_CACHE"); }
  const TemporaryFolder& folder() const { return folder_; }
  std::vector<std::filesystem::path> files() const {
    std::vector<std::filesystem::path> found;
    std::error_code none;
    for (const auto& e : std::filesystem::directory_iterator(folder_.path() / "data", none))
      found.push_back(e.path());
    return found;
  }

 private:
  TemporaryFolder folder_;
};

/// Collects log lines.
class LogLines {
 public:
  LogLines() : former_(set_log_sink([this](std::string_view l) { lines.emplace_back(l); })) {}
  ~LogLines() { set_log_sink(former_); }
  std::vector<std::string> lines;

 private:
  LogSink former_;
};

class ThreadCount {
 public:
  explicit ThreadCount(int n) : former_(num_threads()) { set_num_threads(n); }
  ~ThreadCount() { set_num_threads(former_); }

 private:
  int former_;
};

/// The message and hint of the UserError that `f` throws; fails the test when it throws none.
template <class F>
std::string user_error(F&& f) {
  try {
    f();
  } catch (const UserError& e) {
    return std::string(e.what()) + (e.hint().empty() ? "" : " | " + e.hint());
  }
  ADD_FAILURE() << "no UserError was thrown";
  return "";
}

/// PNG bytes of one flat colour.
inline std::string flat_png(int width, int height, int channels, int value) {
  Image image{width, height, channels, {}};
  image.pixels.assign(size_t(width) * size_t(height) * size_t(channels), uint8_t(value));
  return encode_png(image);
}

/// Real data, or empty when it is not here.
inline std::string real_data(const std::string& name) {
  const char* own = std::getenv("ESPALIER_DATA");
  const std::filesystem::path root =
      own ? std::filesystem::path(own)
          : std::filesystem::path(testing::source_dir()) / ".." / "shared" / "data";
  return std::filesystem::exists(root / name) ? (root / name).string() : "";
}

}  // namespace espalier
