// LoRA: beside a frozen weight W a product of two thin ones is trained, W + (alpha / rank) B A (Hu
// et al. 2021, arXiv:2106.09685, section 4.1). Beside a convolution A is a convolution with the
// same window that gives `rank` channels, and B mixes them; with `square` the change is a product
// of two matrices [out k, rank k] [rank k, in k], cut into windows as loralib does.
//
// Starts: `random`, A uniform within sqrt(1 / inputs) and B zero; `weights`, A and B the largest
// singular directions of W, which is left without them (PiSSA, Meng et al. 2024, arXiv:2404.02948);
// `activations`, A the directions in which the layer's inputs vary most and B zero, ranks going to
// the layers where they explain most (EVA, Paischer et al. 2024, arXiv:2410.07170).
#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/rng.h"
#include "train/adapters/activation_svd.h"
#include "train/adapters/low_rank.h"

namespace espalier {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

double scale_of(const Adapting& a) {
  const double alpha = a.setting("alpha");
  return alpha > 0 ? alpha / a.setting("rank") : 1;
}

/// First values of A, as its node reads it, and of B.
struct Start {
  Tensor down, up;
};

Tensor uniform(const Adapting& a, const std::string& name, const Shape& shape, double bound) {
  Tensor t(DType::f32, shape);
  const Rng rng(a.input().seed, stream_of("adapter " + name));
  for (int64_t i = 0; i < t.size(); ++i)
    t.mutable_data<float>()[i] = float(rng.uniform(uint64_t(i), -bound, bound));
  return t;
}

/// Rows [rank, inputs * window] in the places where the node reads them.
Tensor down_from_rows(const WeightTarget& t, const Matrix& rows) {
  Tensor down(DType::f32, t.with(t.out_axis, rows.rows()));
  const int64_t inside = product(t.shape, size_t(t.out_axis) + 1, t.shape.size());
  const int64_t outside = product(t.shape, 0, size_t(t.out_axis));
  for (int64_t o = 0; o < outside; ++o)
    for (int64_t r = 0; r < rows.rows(); ++r)
      for (int64_t i = 0; i < inside; ++i)
        down.mutable_data<float>()[(o * rows.rows() + r) * inside + i] =
            float(rows(r, o * inside + i));
  return down;
}

Matrix rows_of(const WeightTarget& t, const Tensor& read) {
  const int64_t inside = product(t.shape, size_t(t.out_axis) + 1, t.shape.size());
  const int64_t outside = product(t.shape, 0, size_t(t.out_axis)), n = t.outputs();
  Matrix m(n, outside * inside);
  for (int64_t o = 0; o < outside; ++o)
    for (int64_t e = 0; e < n; ++e)
      for (int64_t i = 0; i < inside; ++i) m(e, o * inside + i) = read.at((o * n + e) * inside + i);
  return m;
}

Start random_start(const Adapting& a, const WeightTarget& t, int64_t rank) {
  const double bound = std::sqrt(1.0 / double(t.inputs() * t.window_size()));
  return {uniform(a, t.parameter + ".lora_a", t.with(t.out_axis, rank), bound),
          Tensor(DType::f32, mixing_shape(t, rank, t.outputs()))};
}

Tensor change_of(const WeightTarget& t, const Tensor& down, const Tensor& up, double scale) {
  return expanded(down, t.out_axis, t.outputs(),
                  [&](int64_t r, int64_t e) { return scale * mixing_entry(t, up, r, e); });
}

/// Takes the largest directions out of the weight.
Start weight_start(Adapting& a, const WeightTarget& t, int64_t rank) {
  const double scale = scale_of(a);
  const Eigen::BDCSVD<Eigen::MatrixXd> svd(rows_of(t, as_read(a.graph(), t)),
                                           Eigen::ComputeThinU | Eigen::ComputeThinV);
  Matrix rows(rank, svd.matrixV().rows());
  Start s{{}, Tensor(DType::f32, mixing_shape(t, rank, t.outputs()))};
  for (int64_t r = 0; r < rank; ++r) {
    const double root = std::sqrt(svd.singularValues()(r) / scale);
    rows.row(r) = root * svd.matrixV().col(r).transpose();
    for (int64_t e = 0; e < t.outputs(); ++e) {
      const int64_t at = t.window.empty() ? r * t.outputs() + e : e * rank + r;
      s.up.mutable_data<float>()[at] = float(root * svd.matrixU()(e, r));
    }
  }
  s.down = down_from_rows(t, rows);
  Value& weight = a.graph().mutable_value(a.graph().find(t.parameter));
  const Tensor taken =
      in_parameter_order(t, change_of(t, s.down, s.up, scale), weight.constant->shape());
  Tensor rest(DType::f32, weight.constant->shape());
  for (int64_t i = 0; i < rest.size(); ++i)
    rest.mutable_data<float>()[i] = float(weight.constant->at(i) - taken.at(i));
  weight.constant = std::move(rest);
  return s;
}

void put_beside(Adapting& a, const WeightTarget& t, Start s) {
  const NodeId first = a.next_node();
  const std::string down_name = t.parameter + ".lora_a", up_name = t.parameter + ".lora_b";
  const ValueId down = a.parameter(down_name, std::move(s.down));
  const ValueId up = a.parameter(up_name, std::move(s.up));
  const double scale = scale_of(a);
  const ValueId x = a.graph().node(t.node).inputs[t.x_slot];
  add_to_result(a, t, mixed(a, t, beside(a, t, x, down), scaled(a, up, scale)), first);
  a.merges(t, [t, down_name, up_name, scale](const Graph& g) {
    return change_of(t, *g.value(g.find(down_name)).constant, *g.value(g.find(up_name)).constant,
                     scale);
  });
}

bool is_square(const WeightTarget& t) {
  return t.window.size() == 2 && t.out_axis == 0 && t.in_axis == 1 && t.shape[2] == t.shape[3];
}

void put_square(Adapting& a, const WeightTarget& t, int64_t rank) {
  const NodeId first = a.next_node();
  const int64_t k = t.shape[2];
  const std::string down_name = t.parameter + ".lora_a", up_name = t.parameter + ".lora_b";
  const double bound = std::sqrt(1.0 / double(t.inputs() * k));
  const ValueId down =
      a.parameter(down_name, uniform(a, down_name, {rank * k, t.inputs() * k}, bound));
  const ValueId up = a.parameter(up_name, {t.outputs() * k, rank * k}, 0);
  const double scale = scale_of(a);
  const ValueId weight =
      a.builder().reshape(a.builder().matmul(scaled(a, up, scale), down), t.shape);
  add_to_result(a, t, beside(a, t, a.graph().node(t.node).inputs[t.x_slot], weight), first);
  a.merges(t, [t, down_name, up_name, scale](const Graph& g) {
    const Tensor& inner = *g.value(g.find(down_name)).constant;
    const Tensor& outer = *g.value(g.find(up_name)).constant;
    return expanded(inner, 0, outer.shape()[0], [&](int64_t r, int64_t e) {
      return scale * outer.at(e * outer.shape()[1] + r);
    });
  });
}

void attach(Adapting& a) {
  const std::string start = a.spec().start.empty() ? "random" : a.spec().start;
  const auto rank = int64_t(a.setting("rank"));
  std::vector<WeightTarget> targets = a.targets();
  if (start == "activations") {
    for (const Explained& e :
         explaining(a, targets, rank, a.setting("widest"), int64_t(a.setting("batches"))))
      put_beside(
          a, e.target,
          {down_from_rows(e.target, e.directions),
           Tensor(DType::f32, mixing_shape(e.target, e.directions.rows(), e.target.outputs()))});
    return;
  }
  for (const WeightTarget& t : targets) {
    const int64_t most = std::min(t.outputs(), t.inputs() * t.window_size());
    const int64_t own = std::min(rank, most);
    if (a.setting("square") != 0 && is_square(t) && start == "random")
      put_square(a, t, own);
    else
      put_beside(a, t, start == "weights" ? weight_start(a, t, own) : random_start(a, t, own));
  }
}

}  // namespace

const AdapterUnit& lora_adapter() {
  static const AdapterUnit unit = {
      "lora",
      "Hu et al. 2021, arXiv:2106.09685",
      "two thin matrices beside each weight",
      {{"rank", 8, 1, 4096, "of the change of each weight"},
       {"alpha", 0, 0, 1e6, "the change is scaled by alpha / rank; 0: by 1"},
       {"square", 0, 0, 1, "convolutions as [out k, in k] matrices", true},
       {"widest", 2, 1, 64, "of `activations`: no layer gets more than this times rank"},
       {"batches", 16, 1, 100000, "of `activations`: batches of 32 samples looked at, at most"}},
      {"random", "weights", "activations"},
      true,
      attach};
  return unit;
}

}  // namespace espalier
