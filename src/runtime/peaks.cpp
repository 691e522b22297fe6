#include "runtime/peaks.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "base/cpus.h"
#include "base/threads.h"
#include "kernels/jit/micro_kernel.h"
#include "kernels/primitive.h"
#include "kernels/register_loops.h"
#include "kernels/stream.h"
#include "runtime/measure_regions.h"
#include "runtime/region_sampler.h"
#include "runtime/timing.h"
#include "tensor/tensor.h"

namespace espalier {
namespace {

/// Billions of multiply-accumulates per second of the fastest region of a network.
double rate_of(const Graph& network, int threads) {
  double best = 0;
  const RegionTimingOptions options{.threads = threads, .seconds = 0.1};
  for (const RegionRow& row : measure_regions(network, "peak", options))
    if (row.ms > 0) best = std::max(best, row.facts.macs / row.ms / 1e6);
  return best;
}

double peak_of(Precision precision, int threads) {
  double best = 0;
  for (const int64_t n : {384, 768, 1152})
    best = std::max(best, rate_of(product_network(n, n, n, precision), threads));
  // Those of floats may take fewer multiplications than are counted (kernels/winograd.h).
  if (precision != Precision::kInt8) return best;
  for (const int64_t channels : {64, 256})
    best = std::max(best, rate_of(convolution_network(channels, 28, precision), threads));
  return best;
}

double cache_bytes(int name, double otherwise) {
  const long bytes = ::sysconf(name);
  return bytes > 0 ? double(bytes) : otherwise;
}

/// Billions of bytes read per second by all threads together, each from a part of its own.
double bandwidth_of(double bytes, int threads) {
  constexpr int64_t kWordsPerStep = 64;  // what read_words asks for
  const int64_t part =
      std::max<int64_t>(1, int64_t(bytes) / 8 / threads / kWordsPerStep) * kWordsPerStep;
  Tensor memory(DType::u64, {part * threads});
  uint64_t* words = memory.mutable_data<uint64_t>();
  const int64_t passes = std::max<int64_t>(1, (int64_t{1} << 19) / (part * threads));  // 4 MB
  const ThreadScope scope(threads);
  // Written, for what nobody wrote may be one page of zeros again and again.
  parallel_chunks(threads, [&](int64_t t) {
    for (int64_t i = t * part; i < (t + 1) * part; ++i) words[i] = uint64_t(i);
  });
  std::atomic<uint64_t> keep{0};
  const auto read = [&] {
    parallel_chunks(threads, [&](int64_t t) {
      uint64_t sum = 0;
      for (int64_t p = 0; p < passes; ++p) sum ^= kernels::read_words(words + t * part, part);
      keep ^= sum;
    });
  };
  const std::function<void()> contender = read;
  const Timing t = time_alternating({&contender, 1},
                                    {.rounds = 5, .seconds_per_turn = 0.02, .warmup_runs = 1})[0];
  return double(part * threads * passes * 8) / t.p10_ms / 1e6;
}

double dispatch_us() {
  constexpr int64_t kMany = 65;
  const auto total_ms = [](int64_t count) {
    double sum = 0;
    for (const RegionRow& row :
         measure_regions(tiny_network(count), "dispatch", {.threads = 1, .seconds = 0.05}))
      sum += row.ms;
    return sum;
  };
  return std::max(0.0, total_ms(kMany) - total_ms(1)) * 1e3 / double(kMany - 1);
}

double thread_start_us(int threads) {
  if (threads == 1) return 0;
  const ThreadScope scope(threads);
  const std::function<void()> contender = [&] { parallel_chunks(threads, [](int64_t) {}); };
  return time_alternating({&contender, 1}, {.rounds = 5, .seconds_per_turn = 0.02})[0].median_ms *
         1e3;
}

double limit_of(DType type, int threads) {
  const auto loop = kernels::register_loop(type);
  if (!loop) return 0;
  constexpr int64_t kPasses = 100'000;
  const ThreadScope scope(threads);
  const std::function<void()> contender = [&] {
    parallel_chunks(threads, [&](int64_t) { loop->run(kPasses); });
  };
  // The best of many: a limit that a program exceeds is none.
  const Timing t = time_alternating({&contender, 1}, {.rounds = 20, .seconds_per_turn = 0.03})[0];
  return loop->macs_per_pass * double(kPasses * threads) / t.least_ms / 1e6;
}

/// One burst of turns: this thread writes odd numbers, another on that CPU even ones.
double handover_burst_ns(int other_cpu) {
  constexpr int kTurns = 5000;
  struct alignas(128) Line {  // alone on what caches move
    std::atomic<int> turn = 0;
  } line;
  std::atomic<int>& turn = line.turn;
  const auto take = [&](int first) {
    for (int i = first; i < 2 * kTurns; i += 2) {
      while (turn.load(std::memory_order_acquire) != i) continue;
      turn.store(i + 1, std::memory_order_release);
    }
  };
  std::atomic<bool> there = false;
  std::thread other([&] {
    run_on({other_cpu});
    there = true;
    take(1);
  });
  while (!there) std::this_thread::yield();  // it begins on this CPU
  const auto begin = std::chrono::steady_clock::now();
  take(0);
  other.join();
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
  return took.count() / (2 * kTurns);
}

}  // namespace

double measure_handover_ns() {
  const std::vector<int> cpus = allowed_cpus();
  if (cpus.size() < 2) return 0;
  std::vector<double> bursts(9);
  run_on({cpus[0]});
  for (double& ns : bursts) ns = handover_burst_ns(cpus[1]);
  run_on(cpus);
  std::ranges::nth_element(bursts, bursts.begin() + 4);
  return bursts[4];
}

InstructionLimits measure_limits(int threads) {
  return {limit_of(DType::f32, threads), limit_of(DType::bf16, threads),
          limit_of(DType::i8, threads)};
}

MachinePeaks measure_peaks(int threads) {
  MachinePeaks p;
  p.l1_bytes = cache_bytes(_SC_LEVEL1_DCACHE_SIZE, 32e3);
  p.l2_bytes = std::max(p.l1_bytes, cache_bytes(_SC_LEVEL2_CACHE_SIZE, 1e6));
  p.l3_bytes = std::max(p.l2_bytes, cache_bytes(_SC_LEVEL3_CACHE_SIZE, 16e6));
  const auto both = [&](double& one, double& all, const auto& measure) {
    one = measure(1);
    all = threads == 1 ? one : measure(threads);
  };
  both(p.f32_gmacs_thread, p.f32_gmacs, [](int n) { return peak_of(Precision::kF32, n); });
  if (kernels::has_bf16())
    both(p.bf16_gmacs_thread, p.bf16_gmacs, [](int n) { return peak_of(Precision::kBf16, n); });
  if (!kernels::integer_sums_saturate() || kernels::no_generated_kernels().empty())
    both(p.int8_gmacs_thread, p.int8_gmacs, [](int n) { return peak_of(Precision::kInt8, n); });
  // Sets that fill half a cache; memory: more than the last one holds, within reason.
  const double beyond = std::clamp(4 * p.l3_bytes, 64e6, 512e6);
  both(p.l1_gbs_thread, p.l1_gbs, [&](int n) { return bandwidth_of(p.l1_bytes / 2 * n, n); });
  both(p.l2_gbs_thread, p.l2_gbs, [&](int n) { return bandwidth_of(p.l2_bytes / 2 * n, n); });
  both(p.l3_gbs_thread, p.l3_gbs,
       [&](int n) { return bandwidth_of(std::min(p.l3_bytes / 2, 64e6), n); });
  both(p.memory_gbs_thread, p.memory_gbs, [&](int n) { return bandwidth_of(beyond, n); });
  p.dispatch_us = dispatch_us();
  p.thread_start_us = thread_start_us(threads);
  return p;
}

}  // namespace espalier
