// What tuning found on this machine at one thread count, product by product, and the file that
// keeps it beside the cost tables: $ESPALIER_CACHE/tuned/….json (docs/tuning.md).
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "bind/kernel_choices.h"
#include "cost/tables.h"

namespace espalier {

/// One product, decided.
struct TunedProduct {
  std::string problem;                    ///< GemmProblem::text
  std::optional<kernels::GemmTile> tile;  ///< of the generated kernel; nothing: the other serves
  double generated_ms = 0;                ///< median of the best generated one
  double other_ms = 0;                    ///< median of what would run otherwise; 0: nothing would
  int64_t measured = 0;                   ///< tiles
  double seconds = 0;                     ///< that took
  bool operator==(const TunedProduct&) const = default;
};

class TunedKernels : public KernelChoices {
 public:
  explicit TunedKernels(MachineId machine) : machine_(std::move(machine)) {}

  const MachineId& machine() const { return machine_; }
  const std::map<std::string, TunedProduct>& products() const { return products_; }
  /// Null where it was not tuned.
  const TunedProduct* find(const std::string& problem) const;
  void set(TunedProduct product);
  std::optional<kernels::GemmTile> tile_for(const kernels::GemmProblem& problem) const override;

 private:
  MachineId machine_;
  std::map<std::string, TunedProduct> products_;
};

/// Version of the file format, of what its tiles mean and of the code generated for them.
inline constexpr int kTunedVersion = 1;

std::string tuned_text(const TunedKernels& kernels);
/// UserError naming `where` for text that is damaged or of another version.
TunedKernels parse_tuned(std::string_view text, const std::string& where);

/// The file for this machine, in the cache folder; empty when there is no cache folder.
std::filesystem::path tuned_path(const MachineId& machine);
/// Written whole or not at all; the folder is made.
void save_tuned(const TunedKernels& kernels, const std::filesystem::path& path);
/// What the file holds for `here`. A file that is missing holds nothing; one that is damaged, of
/// another version or machine is said in a warning and holds nothing either.
TunedKernels load_tuned(const std::filesystem::path& path, const MachineId& here);

/// `own`, beside what was tuned at another number of threads. Generated code serves where neither
/// found it slower, so that results do not depend on the number of threads; its tile is its own if
/// it has one.
TunedKernels combined(TunedKernels own, const TunedKernels& other);

/// What was tuned on this machine, for that number of threads, all others heeded; null where
/// nothing was. `own`: what the file of that number would hold.
std::shared_ptr<const TunedKernels> machine_tuned_kernels(int threads);
std::shared_ptr<const TunedKernels> machine_tuned_kernels(TunedKernels own);

}  // namespace espalier
