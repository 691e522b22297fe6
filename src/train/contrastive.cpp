#include "train/contrastive.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/threads.h"
#include "data/loader.h"
#include "data/wrapped.h"
#include "runtime/session.h"

namespace espalier {
namespace {

// Far below any logarithm of a mean of exponentials: that of a sample not met yet.
constexpr float kNever = -1e30f;

/// Writes the loss of one step.
class ContrastiveLoss {
 public:
  ContrastiveLoss(StepGraph& s, const StepOptions& options)
      : s_(s), b_(s.graph), options_(options) {
    const TensorType& z = b_.type(s.logits);
    if (z.rank() != 2 || z.dims[0].value() % 2 != 0 || z.dims[0].value() < 4)
      throw bad_input("output '" + s.graph.value(s.logits).name + "'",
                      "is " + to_string(z) +
                          ", a contrastive loss needs the embeddings of two views of two samples "
                          "and more");
    batch_ = z.dims[0].value() / 2;
  }

  void run() {
    s_.targets =
        s_.graph.add_input(s_.graph.fresh_name("samples"), TensorType(DType::i64, Shape{batch_}));
    const Values views =
        b_.op("Split", {s_.logits, b_.ints({batch_, batch_})}, {{"axis", int64_t{0}}});
    const ValueId cosines = b_.matmul(views[0], b_.transpose(views[1], {1, 0}));
    // Rows are anchors: first views, then second ones, in the order of the embeddings.
    cosines_ = stacked(cosines, b_.transpose(cosines, {1, 0}));
    const ValueId own = b_.reduce_sum(b_.mul(views[0], views[1]), {1});
    own_ = stacked(own, own);
    temperature_ =
        s_.temperature != kNoValue
            ? s_.temperature
            : b_.constant(Tensor::from<float>({1, 1}, {float(options_.contrastive.temperature)}));
    if (options_.contrastive.kind == ContrastiveOptions::Kind::kInfoNce)
      info_nce();
    else
      global();
    const ValueId nearest =
        b_.one("ArgMax", {cosines}, {{"axis", int64_t{1}}, {"keepdims", int64_t{0}}});
    std::vector<int64_t> places(static_cast<size_t>(batch_));
    std::iota(places.begin(), places.end(), int64_t{0});
    s_.correct =
        b_.reduce_sum(b_.cast(b_.one("Equal", {nearest, b_.ints(places)}), DType::f32), {0}, false);
    s_.graph.rename(s_.loss, s_.graph.fresh_name("loss"));
    s_.graph.add_output(s_.loss);
    s_.graph.add_output(s_.correct);
  }

 private:
  ValueId stacked(ValueId a, ValueId b) { return b_.one("Concat", {a, b}, {{"axis", int64_t{0}}}); }
  ValueId stopped(ValueId v) { return b_.one("espalier.StopGradient", {v}); }
  ValueId log_sum_exp(ValueId rows) {
    return b_.one("ReduceLogSumExp", {rows}, {{"axes", std::vector<int64_t>{1}}});
  }
  ValueId mean(ValueId column) { return b_.reduce_mean(column, {0, 1}, false); }

  void info_nce() {
    const ValueId all = log_sum_exp(b_.div(cosines_, temperature_));
    s_.loss = mean(b_.sub(all, b_.div(own_, temperature_)));
  }

  void global() {
    const double others = double(batch_ - 1);
    const ValueId differences = b_.sub(cosines_, own_);  // d_ij
    const ValueId scaled = b_.add(b_.div(differences, temperature_), b_.constant(own_places()));
    const ValueId of_batch = b_.add(log_sum_exp(scaled), -std::log(others));  // log g_i(batch)
    const ValueId log_u = averaged(of_batch);
    const ValueId u = stopped(log_u);
    // What each negative weighs in the gradient: exp(d_ij / tau_i) / u_i over their number.
    const ValueId weights = stopped(b_.mul(b_.exp(b_.sub(scaled, u)), 1 / others));
    const ValueId pull = b_.reduce_sum(b_.mul(weights, differences), {1});
    s_.objective = mean(pull);
    ValueId loss = b_.mul(log_u, temperature_);
    if (options_.rho) {
      // d/dtau_i = log u_i + rho - sum_j w_ij d_ij / tau_i.
      const ValueId slope = stopped(b_.sub(b_.add(u, *options_.rho), b_.div(pull, temperature_)));
      s_.objective = b_.add(s_.objective, mean(b_.mul(temperature_, slope)));
      loss = b_.add(loss, b_.mul(temperature_, *options_.rho));
    }
    s_.loss = mean(loss);
  }

  /// Takes an anchor's own other view out of its negatives.
  Tensor own_places() const {
    Tensor t(DType::f32, {2 * batch_, batch_});
    for (int64_t i = 0; i < 2 * batch_; ++i)
      t.mutable_data<float>()[i * batch_ + i % batch_] = kNever;
    return t;
  }

  /// log u_i [2 N, 1] after this batch; samples met for the first time begin with what it gives.
  ValueId averaged(ValueId of_batch) {
    const double gamma = options_.contrastive.gamma;
    if (gamma == 1) return of_batch;
    const int64_t n = options_.contrastive.samples;
    Tensor never(DType::f32, {2 * n});
    std::fill_n(never.mutable_data<float>(), never.size(), kNever);
    const ValueId state = s_.add_state(s_.graph.fresh_name("contrastive:log_means"), never);
    const ValueId shift = b_.constant(Tensor::scalar<int64_t>(n));
    const ValueId places = stacked(s_.targets, b_.add(s_.targets, shift));
    const ValueId old = b_.reshape(b_.one("Gather", {state, places}), {2 * batch_, 1});
    const ValueId both =
        b_.one("Concat", {b_.add(old, std::log(1 - gamma)), b_.add(of_batch, std::log(gamma))},
               {{"axis", int64_t{1}}});
    const ValueId is_new = b_.less(old, b_.scalar(kNever / 2, old));
    const ValueId now = b_.where(is_new, of_batch, log_sum_exp(both));
    s_.set_next(state, b_.one("ScatterElements", {state, places, b_.reshape(now, {2 * batch_})}));
    return now;
  }

  StepGraph& s_;
  Builder b_;
  const StepOptions& options_;
  int64_t batch_ = 0;
  ValueId cosines_ = kNoValue, own_ = kNoValue, temperature_ = kNoValue;
};

}  // namespace

void attach_contrastive_loss(StepGraph& step, const StepOptions& options) {
  const ContrastiveOptions& o = options.contrastive;
  const std::string where = "the contrastive loss";
  const bool global = o.kind == ContrastiveOptions::Kind::kGlobal;
  if (!(o.temperature > 0 && std::isfinite(o.temperature)))
    throw bad_input(where, "needs a temperature above 0");
  if (!(o.gamma > 0 && o.gamma <= 1)) throw bad_input(where, "needs a gamma in (0, 1]");
  if (global && o.gamma < 1 && o.samples < 1)
    throw bad_input(where, "over all samples needs to know how many there are");
  if (options.rho && !global)
    throw bad_input(where, "has a radius rho over all samples only", "choose the global kind");
  if (global && step.temperature != kNoValue && !options.rho)
    throw bad_input(where, "over all samples teaches temperatures by its radius rho alone");
  ContrastiveLoss(step, options).run();
}

namespace {

class Numbered : public WrappedDataset {
 public:
  explicit Numbered(std::shared_ptr<const Dataset> of)
      : WrappedDataset(std::move(of)), numbers_(DType::i64, {of_->size()}) {
    description_ = of_->description() + ", numbered";
    std::iota(numbers_.mutable_data<int64_t>(), numbers_.mutable_data<int64_t>() + of_->size(),
              int64_t{0});
  }
  int64_t classes() const override { return of_->size(); }
  const std::vector<std::string>& class_names() const override { return none_; }
  const Tensor& targets() const override { return numbers_; }

 private:
  Tensor numbers_;
  std::vector<std::string> none_;
};

double dot(const float* a, const float* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += double(a[i]) * double(b[i]);
  return sum;
}

}  // namespace

std::shared_ptr<const Dataset> numbered(std::shared_ptr<const Dataset> data) {
  if (data->input_type() != DType::f32)
    throw unsupported(data->description(), "has tokens for samples, of which no views are drawn");
  return std::make_shared<Numbered>(std::move(data));
}

Retrieval retrieval(const Graph& network, std::shared_ptr<const Dataset> data, const Augment& views,
                    uint64_t seed, const std::string& output) {
  LoaderOptions lo;
  lo.batch = std::min<int64_t>(250, data->size());
  lo.seed = seed;
  lo.augment = views;
  lo.views = 2;
  Loader loader(data, lo);
  Graph g = network;
  g.set_outputs({output.empty() ? network.outputs()[0] : g.find(output)});
  g.erase_dead();
  Model model(std::move(g));
  const int64_t n = data->size();
  std::vector<float> z[2];
  std::vector<int64_t> labels;
  int64_t width = 0;
  for (Batch batch; loader.next(batch);) {
    const Tensor answers = model.run({batch.inputs}).at(0);
    width = answers.shape().back();
    const int64_t half = answers.size() / 2;
    for (int v = 0; v < 2; ++v)
      z[v].insert(z[v].end(), answers.data<float>() + v * half,
                  answers.data<float>() + (v + 1) * half);
    for (int64_t i = 0; i < batch.targets.size(); ++i) labels.push_back(batch.targets.int_at(i));
  }
  std::vector<Retrieval> each(static_cast<size_t>(2 * n));
  parallel_for(2 * n, 1, [&](int64_t from, int64_t to) {
    for (int64_t a = from; a < to; ++a) {
      const int64_t i = a % n;
      const float* anchor = z[a / n].data() + i * width;
      const float* others = z[1 - a / n].data();
      const double own = dot(anchor, others + i * width, width);
      int64_t nearer = 0, nearest = -1;
      double best = -2;
      for (int64_t j = 0; j < n; ++j) {
        if (j == i) continue;
        const double cosine = dot(anchor, others + j * width, width);
        nearer += cosine >= own;
        if (cosine <= best) continue;
        best = cosine;
        nearest = j;
      }
      each[size_t(a)] = {nearer < 1 ? 1.0 : 0.0, nearer < 5 ? 1.0 : 0.0,
                         nearest >= 0 && labels[size_t(nearest)] == labels[size_t(i)] ? 1.0 : 0.0};
    }
  });
  Retrieval mean;
  for (const Retrieval& r : each) {
    mean.recall_1 += r.recall_1;
    mean.recall_5 += r.recall_5;
    mean.same_class += r.same_class;
  }
  for (double* part : {&mean.recall_1, &mean.recall_5, &mean.same_class}) *part /= double(2 * n);
  return mean;
}

}  // namespace espalier
