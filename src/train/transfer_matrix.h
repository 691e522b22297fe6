// What learning one task after another did to each of them.
#pragma once

#include <string>
#include <vector>

namespace espalier {

/// Accuracies of a sequence of tasks: after learning task i, on task j.
struct TransferMatrix {
  std::vector<std::vector<double>> accuracy;  ///< [after][on]

  double final_mean() const;
  /// Mean over all tasks but the last: the best it ever was less what it is at the end (Chaudhry et
  /// al. 2018, arXiv:1801.10112).
  double forgetting() const;
  /// Mean over all tasks but the last: what it is at the end less what it was when it had been
  /// learned (Lopez-Paz & Ranzato 2017, arXiv:1706.08840).
  double backward_transfer() const;
  /// Mean over all tasks but the first: what it is when it has been learned less `alone`, the
  /// accuracy of a network that learned nothing before.
  double forward_transfer(const std::vector<double>& alone) const;
  /// "99.1 / 98.2 97.0 / …": a row for each task learned, in percent.
  std::string text() const;
};

}  // namespace espalier
