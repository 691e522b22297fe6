// Choosing a precision on the command line: its options, and how the choice is told.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "recipe/choose_precision.h"

namespace CLI {
class App;
}

namespace espalier::cli {

struct ModelOptions;

/// Batches to calibrate on: from the train split of `spec`, or, for a network with several inputs,
/// from an NPZ file with an array for each of them, by name.
std::vector<std::vector<Tensor>> calibration_data(const Graph& prepared, const std::string& spec,
                                                  int64_t samples);

struct PrecisionChoiceOptions {
  std::string data, method = "minmax";
  int64_t samples = 512;
  double max_error = 5;  ///< percent

  /// --data, --method, --samples and --max-error.
  void add_to(CLI::App& app);
  PrecisionChoice choose(const Graph& graph, const ModelOptions& model, bool bf16) const;
};

/// What was tried, what it took and how far it was off.
void print_choice(const PrecisionChoice& choice, double max_error);
nlohmann::ordered_json to_json(const PrecisionChoice& choice, double max_error);

}  // namespace espalier::cli
