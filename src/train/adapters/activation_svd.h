// In which directions the inputs of layers vary, sample by sample: an incremental singular value
// decomposition of what layers read (Ross et al. 2008, "Incremental learning for robust visual
// tracking", section 3, without a mean), as EVA starts adapters (arXiv:2410.07170, section 3).
#pragma once

#include <Eigen/Dense>

#include "train/adapter.h"

namespace espalier {

/// The largest right singular directions of rows that arrive in pieces.
class IncrementalSvd {
 public:
  using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

  explicit IncrementalSvd(int64_t most) : most_(most) {}
  /// Takes in more rows [n, width].
  void add(const Matrix& rows);
  /// At most `most` orthonormal rows [k, width], largest first.
  const Matrix& directions() const { return directions_; }
  /// The part of the rows' sum of squares along direction i.
  double explained(int64_t i) const;
  /// The least cosine between the first `count` directions before the last rows and after them; 0
  /// before there are two pieces.
  double steadiness(int64_t count) const;

 private:
  int64_t most_;
  Matrix directions_, before_;
  Eigen::VectorXd singular_;
  double squares_ = 0;
};

/// A layer and the directions that its adapter begins with.
struct Explained {
  WeightTarget target;
  IncrementalSvd::Matrix directions;  ///< [rank, inputs]; at least one
};

/// Of `rank` times the number of targets directions in all, those that explain the largest parts of
/// what their layers read, at most widest * rank for one layer. Layers that get none are left out,
/// convolutions are none of them. UserError where no target is a matrix, or there is no data.
std::vector<Explained> explaining(Adapting& a, const std::vector<WeightTarget>& targets,
                                  int64_t rank, double widest, int64_t batches);

}  // namespace espalier
