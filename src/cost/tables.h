// The machine's tables: what `espalier calibrate` measured on one machine, at one thread count, and
// the file that keeps it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "cost/region.h"

namespace espalier {

/// What measurements are true of.
struct MachineId {
  std::string cpu;     ///< the processor as the system names it
  std::string isa;     ///< vector extensions kernels may use, limits set by the environment heeded
  std::string engine;  ///< libraries whose kernels were timed
  int threads = 1;

  bool operator==(const MachineId&) const = default;
  /// "AMD EPYC 9B45, AVX3 and avx512_core_bf16, 2 threads"
  std::string text() const;
  /// The same, engine left out, as the name of a file: "amd-epyc-9b45-…-2-threads".
  std::string file_stem() const;
};

/// Rates reached, not data sheets. `_thread`: on one thread; the others on all.
struct MachinePeaks {
  // Multiply-accumulates per second, in billions; 0 where the machine has no such kernels.
  double f32_gmacs_thread = 0, f32_gmacs = 0;
  double bf16_gmacs_thread = 0, bf16_gmacs = 0;
  double int8_gmacs_thread = 0, int8_gmacs = 0;
  // Bytes read per second, in billions, from sets that fit the first, second and last cache, and
  // from memory.
  double l1_gbs_thread = 0, l1_gbs = 0;
  double l2_gbs_thread = 0, l2_gbs = 0;
  double l3_gbs_thread = 0, l3_gbs = 0;
  double memory_gbs_thread = 0, memory_gbs = 0;
  double l1_bytes = 0, l2_bytes = 0, l3_bytes = 0;  ///< as the system gives them
  double dispatch_us = 0;                           ///< of an instruction that does next to nothing
  double thread_start_us = 0;  ///< of a parallel loop that does nothing; 0 on one thread

  bool operator==(const MachinePeaks&) const = default;
};

/// One region, timed.
struct RegionRow {
  std::string source;  ///< where the region comes from: "sample 17", "resnet20"
  RegionFacts facts;
  std::string kernel;    ///< what ran, kernels joined by " + "; empty where nothing had to run
  double ms = 0;         ///< median; 0 where nothing had to run
  double spread_ms = 0;  ///< between the quartiles
  bool operator==(const RegionRow&) const = default;
};

struct CostTables {
  MachineId machine;
  uint64_t seed = 0;  ///< of the samples
  std::optional<MachinePeaks> peaks;
  std::vector<RegionRow> rows;
  /// Sources that are finished, those that gave no rows among them.
  std::set<std::string> done;
};

/// Version of the file format and of what its numbers mean.
inline constexpr int kTablesVersion = 1;

std::string tables_text(const CostTables& tables);
/// UserError naming `where` for text that is damaged or of another version.
CostTables parse_tables(std::string_view text, const std::string& where);

/// The file for this machine, in the cache folder; empty when there is no cache folder.
std::filesystem::path tables_path(const MachineId& machine);
/// What belongs beside it: the model trained on it.
std::filesystem::path model_path(const std::filesystem::path& tables);

/// Written whole or not at all; the folder is made.
void save_tables(const CostTables& tables, const std::filesystem::path& path);
/// UserError when the file is missing, damaged, of another version, or measured elsewhere than on
/// `here`.
CostTables load_tables(const std::filesystem::path& path, const MachineId& here);
/// The UserError of tables measured on `there` for use on `here`; nothing where they are equal.
void refuse_foreign(const std::string& where, const MachineId& there, const MachineId& here);

}  // namespace espalier
