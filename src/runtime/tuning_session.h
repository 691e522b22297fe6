// A session that gets faster while it is used: between its runs a thread beside it tunes the
// network's products, and programs with better kernels take the place of the current one.
#pragma once

#include <memory>
#include <span>

#include "ir/graph.h"
#include "runtime/session.h"
#include "runtime/tuner.h"

namespace espalier {

struct TuningSessionOptions {
  CompileOptions compile;
  TuneOptions tune;
  /// Of the time between runs, what tuning may take at most.
  double share = 0.5;
};

/// Runs and steps of tuning take turns, so that neither disturbs the other; a run waits for one
/// step at most, a few milliseconds. A result changes by no more than the rounding of another order
/// of summation, at most once for each product: where generated code takes over from a library's
/// kernel. One generated kernel gives the same bits as another.
class TuningSession {
 public:
  /// A static graph. Products that `known` holds are not tuned again. UserError as `compile`.
  TuningSession(const Graph& graph, const TuningSessionOptions& options, TunedKernels known);
  /// Ends the tuning where it is.
  ~TuningSession();

  /// As Session::run_into, from one thread at a time.
  void run_into(std::span<const Tensor> inputs, std::span<Tensor> outputs);
  std::vector<Tensor> run(std::span<const Tensor> inputs);
  /// The program that the next run uses.
  std::shared_ptr<const Program> program() const;

  bool tuning() const;           ///< something is left to measure
  int exchanges() const;         ///< programs that took the place of another
  TunedKernels kernels() const;  ///< what is decided so far
  /// Until tuning has ended.
  void wait();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace espalier
