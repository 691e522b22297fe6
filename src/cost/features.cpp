#include "cost/features.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "cost/model.h"

namespace espalier {
namespace {

double log_of(double amount) { return std::log1p(std::max(0.0, amount)); }

double extent(const Shape& s, size_t axis) { return axis < s.size() ? double(s[axis]) : 1; }

/// In double: a product that an int64 cannot hold is large, nothing else.
double extents_from(const Shape& s, size_t axis) {
  double product = 1;
  for (size_t i = axis; i < s.size(); ++i) product *= double(s[i]);
  return product;
}

/// How full the last vector of 16 is: 1 where the extent is a multiple.
double vector_fill(double extent) {
  return extent <= 0 ? 1 : extent / (16 * std::ceil(extent / 16));
}

void add_tensor(std::vector<double>& row, DType type, const Shape& s) {
  row.insert(row.end(),
             {double(size_of(type)), double(s.size()), log_of(extent(s, 0)), log_of(extent(s, 1)),
              log_of(extents_from(s, 2)), log_of(s.empty() ? 1 : extent(s, s.size() - 1)),
              vector_fill(extent(s, 1)), vector_fill(s.empty() ? 1 : extent(s, s.size() - 1))});
}

double peak_of(DType type, const MachinePeaks& p, bool all) {
  const double f32 = all ? p.f32_gmacs : p.f32_gmacs_thread;
  const double own = is_int(type)          ? (all ? p.int8_gmacs : p.int8_gmacs_thread)
                     : type == DType::bf16 ? (all ? p.bf16_gmacs : p.bf16_gmacs_thread)
                                           : f32;
  return own > 0 ? own : f32;
}

double bandwidth_for(double bytes, const MachinePeaks& p, int threads) {
  const bool all = threads > 1;
  // The first two caches belong to a thread.
  if (bytes <= p.l1_bytes * threads) return all ? p.l1_gbs : p.l1_gbs_thread;
  if (bytes <= p.l2_bytes * threads) return all ? p.l2_gbs : p.l2_gbs_thread;
  if (bytes <= p.l3_bytes) return all ? p.l3_gbs : p.l3_gbs_thread;
  return all ? p.memory_gbs : p.memory_gbs_thread;
}

/// Milliseconds of work, and of traffic.
std::pair<double, double> bounds_of(const RegionFacts& f, const MachinePeaks& p, int threads) {
  const double work = std::max(f.macs, f.flops / 2), peak = peak_of(f.x_type, p, threads > 1);
  const double rate = bandwidth_for(f.bytes(), p, threads);
  return {peak > 0 ? work / (peak * 1e6) : 0, rate > 0 ? f.bytes() / (rate * 1e6) : 0};
}

}  // namespace

double roofline_ms(const RegionFacts& f, const MachinePeaks& p, int threads) {
  const auto [compute, memory] = bounds_of(f, p, threads);
  return std::max(compute, memory) + p.dispatch_us / 1e3;
}

std::vector<double> numeric_features(const RegionFacts& f, const MachinePeaks& p, int threads) {
  const auto [compute, memory] = bounds_of(f, p, threads);
  constexpr double kTick = 1e-6;  // milliseconds; keeps logarithms finite
  const double bytes = f.bytes();
  std::vector<double> row = {
      std::log(roofline_ms(f, p, threads) + kTick),
      std::log(compute + kTick),
      std::log(memory + kTick),
      log_of(f.macs),
      log_of(f.flops),
      log_of(std::max(0.0, f.flops - 2 * f.macs)),
      log_of(f.in_bytes),
      log_of(f.out_bytes),
      log_of(f.weight_bytes),
      log_of(bytes),
      std::log((f.flops + 1) / (bytes + 1)),
      // What one result costs: the length of a sum, the size of a window.
      std::log((f.flops + 1) / (extents_from(f.y, 0) + 1)),
      // Strides and scales, groups, multiples.
      std::log((extents_from(f.x, 2) + 1) / (extents_from(f.y, 2) + 1)),
      std::log((extent(f.x, 1) + 1) / (extent(f.w, 1) + 1)),
      std::log((extent(f.y, 1) + 1) / (extent(f.x, 1) + 1)),
      std::log((bytes + 1) / (p.l1_bytes * threads + 1)),
      std::log((bytes + 1) / (p.l2_bytes * threads + 1)),
      std::log((bytes + 1) / (p.l3_bytes + 1)),
      double(std::count(f.operators.begin(), f.operators.end(), ' ') + 1),
  };
  add_tensor(row, f.x_type, f.x);
  add_tensor(row, f.w_type, f.w);
  add_tensor(row, f.y_type, f.y);
  return row;
}

std::vector<std::string> words_of(const RegionFacts& f) {
  std::vector<std::string> words = {"kind:" + f.kind, "x:" + std::string(name_of(f.x_type)),
                                    "w:" + std::string(name_of(f.w_type)),
                                    "y:" + std::string(name_of(f.y_type))};
  std::istringstream operators(f.operators);
  for (std::string word; operators >> word;) words.push_back(word);
  return words;
}

}  // namespace espalier
