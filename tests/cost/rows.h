// Made-up tables whose times follow a law, for tests of what learns from them.
#pragma once

#include "base/rng.h"
#include "cost/tables.h"

namespace espalier::testing {

inline MachineId made_up_machine() { return {"Test CPU", "AVX9 and wide", "oneDNN 0.0.1", 2}; }

inline MachinePeaks made_up_peaks() {
  MachinePeaks p;
  p.f32_gmacs_thread = 50;
  p.f32_gmacs = 100;
  p.l1_gbs_thread = p.l2_gbs_thread = p.l3_gbs_thread = p.memory_gbs_thread = 10;
  p.l1_gbs = p.l2_gbs = p.l3_gbs = p.memory_gbs = 20;
  p.l1_bytes = 32e3;
  p.l2_bytes = 1e6;
  p.l3_bytes = 16e6;
  p.dispatch_us = 1;
  return p;
}

/// A convolution (even) or a pointwise chain (odd numbers): convolutions of few channels reach a
/// tenth of the peak, chains a third of the bandwidth.
inline RegionRow made_up_row(uint64_t number) {
  const Rng rng = Rng(5, stream_of("made-up rows")).fork(number);
  const int64_t channels = 8 << rng.below(0, 6), extent = 4 + int64_t(rng.below(1, 50));
  RegionRow row;
  row.source = "made up " + std::to_string(number);
  row.kernel = "loops";
  RegionFacts& f = row.facts;
  f.x = f.y = {1, channels, extent, extent};
  const double elements = double(channels * extent * extent);
  f.in_bytes = f.out_bytes = 4 * elements;
  if (number % 2 == 0) {
    f.kind = "Conv";
    f.operators = "Conv Relu";
    f.w = {channels, channels, 3, 3};
    f.macs = elements * double(channels) * 9;
    f.flops = 2 * f.macs;
    f.weight_bytes = 4 * 9 * double(channels * channels);
    row.ms = 2e-3 + f.macs / (channels < 32 ? 10e6 : 80e6);
  } else {
    f.kind = "Exp";
    f.operators = "Exp Add";
    f.flops = 10 * elements;
    row.ms = 2e-3 + f.bytes() / 6e6;
  }
  return row;
}

inline CostTables made_up_tables(uint64_t rows) {
  CostTables t;
  t.machine = made_up_machine();
  t.peaks = made_up_peaks();
  for (uint64_t i = 0; i < rows; ++i) {
    t.rows.push_back(made_up_row(i));
    t.done.insert(t.rows.back().source);
  }
  return t;
}

}  // namespace espalier::testing
