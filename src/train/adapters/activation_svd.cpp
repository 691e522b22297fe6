#include "train/adapters/activation_svd.h"

#include <algorithm>

#include "base/error.h"
#include "data/loader.h"
#include "runtime/session.h"

namespace espalier {
namespace {

using Matrix = IncrementalSvd::Matrix;

constexpr int64_t kBatch = 32;
/// Directions are settled when the least cosine from one batch to the next is above this.
constexpr double kSettled = 0.99;

/// The network cut down to what the layers read, each once.
Graph taps(const Graph& network, const std::vector<WeightTarget>& targets,
           std::vector<size_t>& output_of) {
  Graph g = network;
  Builder b(g);
  std::vector<ValueId> read, outputs;
  for (const WeightTarget& t : targets) {
    const ValueId x = g.node(t.node).inputs[t.x_slot];
    const auto known = std::ranges::find(read, x);
    output_of.push_back(size_t(known - read.begin()));
    if (known != read.end()) continue;
    read.push_back(x);
    outputs.push_back(b.one("Identity", {x}));
  }
  g.set_outputs(outputs);
  g.erase_dead();
  return g;
}

Matrix rows_of(const Tensor& t) {
  const int64_t width = t.shape().back(), rows = t.size() / width;
  return Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(
             t.data<float>(), rows, width)
      .cast<double>();
}

}  // namespace

void IncrementalSvd::add(const Matrix& rows) {
  before_ = directions_;
  squares_ += rows.squaredNorm();
  Matrix all(directions_.rows() + rows.rows(), rows.cols());
  if (directions_.rows() > 0)
    all.topRows(directions_.rows()) = singular_.asDiagonal() * directions_;
  all.bottomRows(rows.rows()) = rows;
  // Right singular vectors are the eigenvectors of the small one of the two products.
  const int64_t k = std::min<int64_t>({most_, all.rows(), all.cols()});
  const bool wide = all.cols() > all.rows();
  const Eigen::MatrixXd product =
      wide ? Eigen::MatrixXd(all * all.transpose()) : Eigen::MatrixXd(all.transpose() * all);
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(product);
  singular_ = Eigen::VectorXd(k);
  directions_ = Matrix(k, all.cols());
  for (int64_t i = 0; i < k; ++i) {
    const int64_t from = product.cols() - 1 - i;  // ascending
    singular_(i) = std::sqrt(std::max(0.0, eigen.eigenvalues()(from)));
    const Eigen::VectorXd v = eigen.eigenvectors().col(from);
    if (!wide)
      directions_.row(i) = v.transpose();
    else if (singular_(i) > 0)
      directions_.row(i) = (v.transpose() * all) / singular_(i);
    else
      directions_.row(i).setZero();
  }
}

double IncrementalSvd::explained(int64_t i) const {
  return squares_ > 0 ? singular_(i) * singular_(i) / squares_ : 0;
}

double IncrementalSvd::steadiness(int64_t count) const {
  if (before_.rows() < std::min<int64_t>(count, directions_.rows())) return 0;
  double least = 1;
  for (int64_t i = 0; i < std::min<int64_t>(count, directions_.rows()); ++i)
    least = std::min(least, std::abs(before_.row(i).dot(directions_.row(i))));
  return before_.rows() > 0 ? least : 0;
}

std::vector<Explained> explaining(Adapting& a, const std::vector<WeightTarget>& all, int64_t rank,
                                  double widest, int64_t batches) {
  std::vector<WeightTarget> targets;
  std::ranges::copy_if(all, std::back_inserter(targets),
                       [](const WeightTarget& t) { return t.window.empty(); });
  if (targets.empty())
    throw unsupported(a.graph().name, "has no matrices among its targets",
                      "the start 'activations' is for matrix products; choose another");
  ESP_CHECK(a.input().data != nullptr, "the start looks at data");
  std::vector<size_t> output_of;
  Model model(taps(a.graph(), targets, output_of));
  std::vector<IncrementalSvd> svd;
  for (const WeightTarget& t : targets)
    svd.emplace_back(
        std::min<int64_t>(int64_t(widest * double(rank)), std::min(t.inputs(), t.outputs())));
  LoaderOptions how;
  how.batch = std::min(kBatch, a.input().data->size());
  how.shuffle = how.drop_last = true;
  how.seed = a.input().seed;
  Loader loader(a.input().data, how);
  Batch batch;
  for (int64_t n = 0; n < batches && loader.next(batch); ++n) {
    const std::vector<Tensor> read = model.run({batch.inputs});
    double steady = 1;
    for (size_t i = 0; i < targets.size(); ++i) {
      svd[i].add(rows_of(read[output_of[i]]));
      steady = std::min(steady, svd[i].steadiness(rank));
    }
    if (steady > kSettled) break;
  }
  struct Direction {
    double explained;
    size_t target;
  };
  std::vector<Direction> directions;
  for (size_t i = 0; i < targets.size(); ++i)
    for (int64_t k = 0; k < svd[i].directions().rows(); ++k)
      directions.push_back({svd[i].explained(k), i});
  std::ranges::stable_sort(directions, std::ranges::greater(), &Direction::explained);
  directions.resize(std::min(directions.size(), size_t(rank) * targets.size()));
  std::vector<int64_t> given(targets.size(), 0);
  for (const Direction& d : directions) ++given[d.target];
  std::vector<Explained> explained;
  for (size_t i = 0; i < targets.size(); ++i)
    if (given[i] > 0) explained.push_back({targets[i], svd[i].directions().topRows(given[i])});
  return explained;
}

}  // namespace espalier
