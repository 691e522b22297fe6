// In which order a step computes: what serves updates alone runs as soon as it can (PockEngine, Zhu
// et al. 2023, arXiv:2310.17752, section 3.2: operator reordering).
#pragma once

#include <span>
#include <utility>
#include <vector>

namespace espalier {

/// What one of many pieces of work reads and makes: tensors by number, below 0 where absent.
struct Work {
  std::vector<int> operands, results;
  bool shrinks = false;  ///< the results take less memory than the operands that works make
};

/// The order of the works, by their numbers, in which each comes behind what makes its operands,
/// and `second` of each pair in `before` behind `first`. Works whose results nobody reads but their
/// like (an update, and the gradient that only the update reads) come as soon as their operands are
/// there and a reader's other operands too, so that these need not be kept; the order is otherwise
/// the given one. One that shrinks what the other works make does not wait for its readers: what it
/// reads need not be kept. `wanted[t]` says that tensor t is read after all works. Empty where the
/// pairs form a cycle.
std::vector<int> update_early(std::span<const Work> works, const std::vector<bool>& wanted,
                              std::span<const std::pair<int, int>> before);

}  // namespace espalier
