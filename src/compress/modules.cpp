#include "compress/modules.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "train/graph_part.h"
#include "train/selection.h"

namespace espalier {
namespace {

std::set<std::string> constants_of(const Graph& g, bool parameters_only) {
  std::set<std::string> names;
  for (ValueId v : g.constants())
    if (const Role role = g.value(v).role;
        role == Role::kParameter || (role == Role::kBuffer && !parameters_only))
      names.insert(g.value(v).name);
  return names;
}

void add(std::set<std::string>& to, const std::set<std::string>& more) {
  to.insert(more.begin(), more.end());
}

}  // namespace

ModuleSplit::ModuleSplit(const Graph& network, int64_t count) : network_(network.compacted()) {
  ESP_CHECK(count >= 1, "a network has one module at least");
  const std::vector<BlockRun> runs = repeated_blocks(network_);
  for (size_t r = 0; r < runs.size(); ++r)
    for (const RepeatedBlock& b : runs[r]) {
      blocks_.push_back(b);
      run_of_.push_back(r);
    }
  if (blocks_.empty())
    throw bad_input(network.name, "repeats no blocks that modules could be made of",
                    "modules are stretches of a network that is the same block again and again");
  const size_t n = blocks_.size(), k = size_t(count);
  if (n < k)
    throw bad_input(
        network.name,
        "repeats " + std::to_string(n) + " blocks, too few for " + std::to_string(k) + " modules",
        "at most " + std::to_string(n));
  for (size_t m = 0; m < k; ++m)
    for (size_t b = m * n / k; b < (m + 1) * n / k; ++b) module_of_.push_back(m);

  // A node is in the module whose beginning is the last that it depends on.
  std::vector<size_t> module(network_.node_count(), 0);
  for (size_t b = 0; b + 1 < n; ++b) {
    if (module_of_[b] == module_of_[b + 1]) continue;
    const std::vector<bool> behind = nodes_behind(network_, std::array{blocks_[b].out});
    for (size_t i = 0; i < behind.size(); ++i) module[i] += behind[i];
  }
  constants_.resize(k);
  shared_.resize(k);
  for (ValueId v : network_.constants()) {
    if (network_.value(v).role == Role::kNone) continue;
    std::set<size_t> readers;
    for (const Reading& r : readings_of(network_, v)) readers.insert(module[size_t(r.node)]);
    if (readers.empty()) continue;
    (readers.size() == 1 ? constants_ : shared_)[*readers.begin()].insert(network_.value(v).name);
  }
}

int64_t ModuleSplit::blocks(int64_t module) const {
  return std::ranges::count(module_of_, size_t(module));
}

Graph ModuleSplit::with_parts(std::span<const ModulePart> parts) const {
  ESP_CHECK(int64_t(parts.size()) == count(), "each module has a part");
  std::vector<RepeatedBlock> left_out;
  for (size_t b = 0; b < blocks_.size(); ++b) {
    const ModulePart part = parts[module_of_[b]];
    const bool first = b == 0 || module_of_[b] != module_of_[b - 1] || run_of_[b] != run_of_[b - 1];
    if (part == ModulePart::kNothing || (part == ModulePart::kStandIn && !first))
      left_out.push_back(blocks_[b]);
  }
  return without_blocks(network_, left_out);
}

const std::vector<std::string>& around_names() {
  static const std::vector<std::string> names = {"meta", "below", "nothing"};
  return names;
}

std::vector<ModuleJob> module_jobs(const ModuleSplit& split, Around around) {
  const auto k = size_t(split.count());
  std::vector<ModuleJob> jobs;
  if (around == Around::kMeta) {
    const std::vector<ModulePart> stand_ins(k, ModulePart::kStandIn);
    ModuleJob meta{"meta", split.with_parts(stand_ins), {}, {}};
    if (meta.network.order().size() == split.network().order().size())
      throw bad_input(split.network().name,
                      "has modules of one block each: the meta model would be the network",
                      "fewer modules, or more blocks");
    meta.trained = constants_of(meta.network, /*parameters_only=*/true);
    meta.kept = constants_of(meta.network, /*parameters_only=*/false);
    jobs.push_back(std::move(meta));
  }
  std::set<std::string> frozen;
  for (size_t m = 0; m < k; ++m) {
    std::vector<ModulePart> parts(
        k, around == Around::kMeta ? ModulePart::kStandIn : ModulePart::kNothing);
    parts[m] = ModulePart::kWhole;
    if (around == Around::kBelow) std::fill_n(parts.begin(), m, ModulePart::kWhole);
    ModuleJob job{"module" + std::to_string(m + 1), split.with_parts(parts), {}, {}};
    job.kept = split.constants(int64_t(m));
    if (around != Around::kMeta) add(job.kept, split.shared(int64_t(m)));
    job.trained = constants_of(job.network, /*parameters_only=*/true);
    if (around == Around::kMeta)
      std::erase_if(job.trained, [&](const std::string& n) { return !job.kept.contains(n); });
    else if (around == Around::kBelow)
      std::erase_if(job.trained, [&](const std::string& n) { return frozen.contains(n); });
    add(frozen, job.kept);
    jobs.push_back(std::move(job));
  }
  return jobs;
}

}  // namespace espalier
