// Finds the fastest generated kernel for each matrix product of a network, and whether it beats
// what runs otherwise. Tuning goes on in steps of a few milliseconds, so that it fits between the
// runs of a network that serves (runtime/tuning_session.h).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "kernels/jit/gemm.h"
#include "runtime/program.h"
#include "runtime/tuned_kernels.h"

namespace espalier {

/// A product that generated code can serve, and how often the network computes it.
struct NetworkProduct {
  kernels::GemmProblem problem;
  int64_t uses = 0;
  double work() const { return double(uses) * problem.macs(); }
};

/// The products of a static graph, those with most work first. UserError for what compile refuses.
std::vector<NetworkProduct> network_products(const Graph& graph, const CompileOptions& options);

struct TuneOptions {
  int threads = 1;
  double seconds = 30;             ///< in all; 0: until everything is measured
  double seconds_per_tile = 1e-3;  ///< and at least two runs
  bool whole_space = false;        ///< instead of the dozens that suit the device
  uint64_t seed = 0;               ///< of the operands
  std::function<bool()> stop = [] { return false; };
};

class Tuner {
 public:
  /// Products that `known` holds are taken from it, not measured again.
  Tuner(std::vector<NetworkProduct> products, const TuneOptions& options,
        const TunedKernels& known);
  ~Tuner();

  /// Measures one tile, or one round against the other kernel. False when nothing is left, or the
  /// time is up.
  bool step();
  /// What is decided so far; products that are not, another kernel serves.
  const TunedKernels& kernels() const;
  int64_t decided() const;
  int64_t products() const;
  int64_t tiles_measured() const;
  double seconds() const;  ///< spent in steps

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Steps to the end, with progress.
TunedKernels tune(std::vector<NetworkProduct> products, const TuneOptions& options,
                  const TunedKernels& known);

/// Times of alternating rounds say that the first gains over the second: by more than 1 % and more
/// than twice the median absolute deviation of the noisier, medians compared.
bool gains(const std::vector<double>& first, const std::vector<double>& second);

}  // namespace espalier
