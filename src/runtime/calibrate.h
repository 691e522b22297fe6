// Fills the machine's tables: peaks first, then the regions of networks given, then those of
// networks drawn at random, every fourth of them operator by operator, until there are enough or
// time is up.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "cost/model.h"
#include "ir/graph.h"

namespace espalier {

/// A network whose regions are measured.
struct CalibrationNetwork {
  std::string name;
  std::function<Graph()> make;  ///< static
  bool fused = true;            ///< false: operator by operator, for what fusing saves
};

struct CalibrateOptions {
  std::filesystem::path file;
  int threads = 1;
  uint64_t seed = 0;
  int64_t samples = 1500;  ///< networks drawn at random
  double seconds = 600;    ///< in this call; 0: as long as it takes
  double seconds_per_network = 0.03;
  bool overwrite = false;  ///< what the file holds is measured anew
  std::vector<CalibrationNetwork> networks;
  std::function<bool()> stop = [] { return false; };
};

struct Calibration {
  CostTables tables;
  int64_t asked = 0;     ///< networks in all
  int64_t done = 0;      ///< of them, in this call or before
  bool stopped = false;  ///< because `stop` said so
};

/// What is left out where operators shall stay apart.
std::vector<std::string> fusing_passes();

/// Measures and saves. What is measured is on disk every few seconds, so that a call that was
/// killed is continued by the next. UserError when the file is damaged, stale, of another machine,
/// or was begun with another seed.
Calibration calibrate(const CalibrateOptions& options);

/// The model of this machine at that thread count, if it was calibrated; a file that cannot be used
/// is said once and left alone.
std::optional<CostModel> machine_cost_model(int threads);

/// Predicted milliseconds of one run: its regions, and what reading inputs into the layout that
/// kernels want costs. `graph` must be static and without states.
double predicted_ms(const CostModel& model, const Graph& graph);

}  // namespace espalier
