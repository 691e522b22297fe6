// A network of repeated blocks as modules of consecutive blocks that are trained one by one, and
// the networks in which they are: Deep Incubation (Ni et al. 2022, arXiv:2212.04129; read from its
// abstract and the authors' published tool) and two ways without its meta model.
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "compress/repeated_blocks.h"

namespace espalier {

/// How much of a module a smaller network has.
enum class ModulePart : uint8_t {
  kWhole,
  kStandIn,  ///< of each run of blocks that it has part of, its first block
  kNothing,  ///< none of its blocks; what it has besides stays
};

class ModuleSplit {
 public:
  /// `count` modules of as many blocks as can be, the last ones larger by one where they differ.
  /// What comes before the first block belongs to the first module, what follows the last to the
  /// last, what lies between runs to the module after it. UserError where the network repeats too
  /// few blocks.
  ModuleSplit(const Graph& network, int64_t count);

  const Graph& network() const { return network_; }
  int64_t count() const { return int64_t(constants_.size()); }
  /// Blocks of a module.
  int64_t blocks(int64_t module) const;
  /// Names of the parameters and buffers that this module alone reads.
  const std::set<std::string>& constants(int64_t module) const {
    return constants_.at(size_t(module));
  }
  /// And of those that several modules read, with the first that does.
  const std::set<std::string>& shared(int64_t module) const { return shared_.at(size_t(module)); }
  /// The network with a part of each module; constants keep their names and values.
  Graph with_parts(std::span<const ModulePart> parts) const;

 private:
  Graph network_;
  std::vector<RepeatedBlock> blocks_;
  std::vector<size_t> run_of_, module_of_;  ///< of each block
  std::vector<std::set<std::string>> constants_, shared_;
};

/// What is around a module while it is trained.
enum class Around : uint8_t {
  kMeta,     ///< stand-ins of all others, trained together beforehand and frozen: incubation
  kBelow,    ///< the modules before it, trained and frozen, and what follows the last: greedy
  kNothing,  ///< what comes before the first block and what follows the last
};
/// "meta", "below", "nothing", in the order of Around.
const std::vector<std::string>& around_names();

/// One training on the way to the modules.
struct ModuleJob {
  std::string name;               ///< "meta", "module1", …
  Graph network;                  ///< with the values of the whole network
  std::set<std::string> trained;  ///< parameters
  std::set<std::string> kept;     ///< what is taken of the result
};

/// In the order in which they can be trained; of kMeta the modules need the meta model only, of
/// kNothing no other. Parameters that several modules read are the meta model's, else those of the
/// first module that reads them. UserError for kMeta where the meta model would be the network.
std::vector<ModuleJob> module_jobs(const ModuleSplit& split, Around around);

}  // namespace espalier
