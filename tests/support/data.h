// Where tests find real data: $ESPALIER_DATA, or shared/data beside the source tree. Without it a
// test reports that it was skipped; it never passes silently.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

#include "tests/support/tree.h"

namespace espalier::testing {

inline std::filesystem::path data_folder() {
  const char* chosen = std::getenv("ESPALIER_DATA");
  if (chosen != nullptr && *chosen != '\0') return chosen;
  return std::filesystem::path(testing::source_dir()) / "../shared/data";
}

/// `relative` inside the data folder, e.g. "mnist" or "models/mnist/mnist.onnx".
inline std::filesystem::path data_path(const std::string& relative) {
  return data_folder() / relative;
}

}  // namespace espalier::testing

/// Skips the running test when `relative` is not among the real data.
#define ESP_SKIP_WITHOUT_DATA(relative)                                              \
  do {                                                                               \
    if (!std::filesystem::exists(::espalier::testing::data_path(relative)))          \
      GTEST_SKIP() << "no real data at " << ::espalier::testing::data_path(relative) \
                   << "; set ESPALIER_DATA";                                         \
  } while (false)
