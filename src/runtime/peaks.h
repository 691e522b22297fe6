// What this machine reaches: work, bandwidth, and what starting something costs.
#pragma once

#include "cost/tables.h"

namespace espalier {

/// Takes a few seconds. Work is the best of three matrix products and two convolutions, run through
/// compile; bandwidth the best of several passes over a set of memory.
MachinePeaks measure_peaks(int threads);

/// Billions of multiply-accumulates per second of instructions on registers alone, on all threads
/// together: what no kernel can exceed. 0 where that is not known (kernels/register_loops.h).
struct InstructionLimits {
  double f32_gmacs = 0, bf16_gmacs = 0, int8_gmacs = 0;
};

/// Takes half a second.
InstructionLimits measure_limits(int threads);

/// How long a number takes from one core to another and is seen there, in nanoseconds: the median
/// of some bursts of a millisecond. It changes while a virtual machine runs, as its host moves it:
/// cores that share a cache take some 30, others some 180, and two threads are then slower by up to
/// a half. 0 with one CPU.
double measure_handover_ns();

}  // namespace espalier
