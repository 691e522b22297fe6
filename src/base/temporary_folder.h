// A folder for files that nobody is to see.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/error.h"

namespace espalier {

/// Below $TMPDIR or /tmp; goes, with all it holds, with its owner.
class TemporaryFolder {
 public:
  /// UserError where none can be made.
  explicit TemporaryFolder(const std::string& name) {
    std::string pattern =
        (std::filesystem::temp_directory_path() / ("espalier_" + name + "_XXXXXX")).string();
    if (!::mkdtemp(pattern.data()))
      throw bad_input(pattern, "cannot be made", "set TMPDIR to a folder that can be written");
    path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace espalier
