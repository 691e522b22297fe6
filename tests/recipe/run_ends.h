// Whether a training run that was interrupted ends as the one that was not.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/files.h"
#include "base/log.h"
#include "recipe/train_run.h"
#include "train/stop.h"

namespace espalier::testing {

/// A run's summary without what it took.
inline nlohmann::json results(const std::filesystem::path& folder) {
  nlohmann::json j = nlohmann::json::parse(read_file(folder / "summary.json"));
  j.erase("timing");
  for (auto& e : j["history"])
    for (const char* key : {"seconds", "val_seconds"}) e.erase(key);
  return j;
}

inline void expect_same_end(const std::filesystem::path& a, const std::filesystem::path& b) {
  EXPECT_EQ(results(a), results(b));
  EXPECT_EQ(read_file(a / "model.onnx"), read_file(b / "model.onnx"));
}

/// The run, stopped after so many of its epochs.
inline TrainRun stopped_after(int stops, const TrainRecipe& recipe,
                              const std::filesystem::path& folder) {
  int epochs = 0;
  set_quiet(false);
  set_log_sink([&](std::string_view) {
    if (++epochs == stops) request_stop();
  });
  const TrainRun part = run_training(recipe, {folder});
  set_log_sink({});
  set_quiet(true);
  clear_stop();
  return part;
}

}  // namespace espalier::testing
