// Gradients element by element from differences of losses, for a few elements of each step (Chen et
// al. 2024, "DeepZero: scaling up zeroth-order optimization for deep model training",
// arXiv:2310.02025): coordinate-wise estimates; which share of each layer's elements is looked at
// follows from GraSP scores that are themselves estimated from losses; which elements, is drawn
// anew for each step, so that all are trained in the end. Losses are computed from what lies behind
// the moved element alone.
#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "train/finite_differences.h"
#include "train/step_session.h"

namespace espalier {
namespace {

constexpr const char* kDensities = "rule:densities";

class Coordinatewise : public GradientEstimator {
 public:
  explicit Coordinatewise(RuleStep& s)
      : forward_(s.step(), s.setting("reuse") != 0),
        seed_(uint64_t(s.seed("coordinates"))),
        scoring_{uint64_t(s.seed("scores")), true},
        density_(s.setting("density")),
        radius_(s.setting("radius")),
        two_sided_(s.setting("two_sided") != 0),
        by_score_(s.setting("layers") == 0),
        every_(s.whole("every")),
        score_directions_(s.whole("score_directions")) {
    for (const StepParameter& p : s.step().parameters) weights_.push_back(p.decays);
  }

  void prepare() override { forward_.prepare(); }

  std::vector<Tensor> gradients(StepSession& at, const Batch& batch, int64_t number) override {
    const double loss = forward_.start(at, batch, number);
    Tensor densities = at.state(kDensities);
    if (!(densities.at(0) > 0)) {
      densities = chosen_densities(loss);
      at.set_state(kDensities, densities);
    }
    std::vector<Tensor> gradients;
    std::vector<PerturbedForward::Move> moves;
    for (size_t p = 0; p < forward_.parameters().size(); ++p) {
      const Tensor& t = forward_.parameters()[p];
      gradients.emplace_back(DType::f32, t.shape());
      for (int64_t e : drawn(p, t.size(), densities.at(int64_t(p)), number)) {
        moves.push_back({p, e, float(radius_)});
        if (two_sided_) moves.push_back({p, e, float(-radius_)});
      }
    }
    const std::vector<double> losses = forward_.moved(moves);
    for (size_t i = 0; i < moves.size(); i += two_sided_ ? 2 : 1) {
      const double slope =
          two_sided_ ? (losses[i] - losses[i + 1]) / (2 * radius_) : (losses[i] - loss) / radius_;
      gradients[moves[i].parameter].mutable_data<float>()[moves[i].element] = float(slope);
    }
    return gradients;
  }

  int64_t queries() const override { return forward_.queries(); }
  int64_t bytes() const override { return forward_.bytes(); }

 private:
  /// Some elements of a parameter in rising order.
  std::vector<int64_t> drawn(size_t p, int64_t size, double density, int64_t number) const {
    const auto count = std::clamp<int64_t>(std::llround(density * double(size)), 1, size);
    const auto period = uint64_t((number - 1) / every_);
    std::vector<int64_t> all = Rng(seed_, p).fork(period).permutation(size);
    all.resize(size_t(count));
    std::ranges::sort(all);
    return all;
  }

  /// The share of each parameter's elements. Vectors, of which there are few, are whole.
  Tensor chosen_densities(double loss) {
    const std::vector<Tensor>& parameters = forward_.parameters();
    Tensor densities(DType::f32, {int64_t(parameters.size())});
    float* d = densities.mutable_data<float>();
    for (size_t p = 0; p < parameters.size(); ++p) d[p] = weights_[p] ? float(density_) : 1;
    if (density_ < 1 && by_score_) by_score(loss, d);
    return densities;
  }

  /// GraSP (Wang et al. 2020, arXiv:2002.07376) scores elements by -w (H g), the change of the
  /// gradient's length when they go, and keeps the least. Of the elements that are kept of all
  /// weights together, how many are this layer's?
  void by_score(double loss, float* densities) {
    const std::vector<Tensor> scores = estimated_scores(loss);
    std::vector<float> all;
    for (size_t p = 0; p < scores.size(); ++p)
      if (weights_[p])
        all.insert(all.end(), scores[p].data<float>(), scores[p].data<float>() + scores[p].size());
    if (all.empty()) return;
    const auto kept =
        std::clamp<int64_t>(std::llround(density_ * double(all.size())), 1, int64_t(all.size()));
    std::ranges::nth_element(all, all.begin() + kept - 1);
    const float most = all[size_t(kept - 1)];
    for (size_t p = 0; p < scores.size(); ++p) {
      if (!weights_[p]) continue;
      const auto values = scores[p].span<float>();
      const auto own = std::ranges::count_if(values, [&](float s) { return s <= most; });
      // A layer of which nothing is kept would never learn.
      densities[p] = float(double(std::max<int64_t>(own, 1)) / double(values.size()));
    }
  }

  /// H g from two gradients, both along the same random directions, the second one step along the
  /// first.
  std::vector<Tensor> estimated_scores(double loss) {
    const std::vector<Tensor>& parameters = forward_.parameters();
    const std::vector<Tensor> here =
        slope_along(forward_, scoring_, 0, score_directions_, radius_, false, loss);
    std::vector<Tensor> step;
    for (const Tensor& g : here) {
      step.emplace_back(DType::f32, g.shape());
      for (int64_t e = 0; e < g.size(); ++e)
        step.back().mutable_data<float>()[e] = float(radius_) * g.data<float>()[e];
    }
    const double loss_there =
        forward_.elsewhere(1, [&](int64_t, std::vector<Tensor>& point) { add(step, point); })[0];
    const std::vector<Tensor> there =
        slope_along(forward_, scoring_, 0, score_directions_, radius_, false, loss_there, &step);
    std::vector<Tensor> scores;
    for (size_t p = 0; p < parameters.size(); ++p) {
      scores.emplace_back(DType::f32, parameters[p].shape());
      float* s = scores.back().mutable_data<float>();
      for (int64_t e = 0; e < parameters[p].size(); ++e) {
        const double product = (there[p].at(e) - here[p].at(e)) / radius_;
        s[e] = float(-parameters[p].at(e) * product);
      }
    }
    return scores;
  }

  static void add(const std::vector<Tensor>& step, std::vector<Tensor>& to) {
    for (size_t p = 0; p < to.size(); ++p)
      for (int64_t e = 0; e < to[p].size(); ++e)
        to[p].mutable_data<float>()[e] += step[p].data<float>()[e];
  }

  PerturbedForward forward_;
  uint64_t seed_;
  Directions scoring_;
  double density_, radius_;
  bool two_sided_, by_score_;
  int64_t every_, score_directions_;
  std::vector<bool> weights_;
};

void write(RuleStep& s) {
  StepGraph& step = s.step();
  feed_gradients(s, std::make_shared<Coordinatewise>(s));
  // Kept with the states, so that a run that goes on looks at as much of each layer as before.
  const ValueId densities =
      step.add_state(kDensities, Tensor(DType::f32, {int64_t(step.parameters.size())}));
  step.set_next(densities, densities);
}

}  // namespace

const RuleUnit& coordinatewise_rule() {
  static const RuleUnit unit = {
      "coordinatewise",
      "Chen et al., arXiv:2310.02025",
      "differences of losses, element by element, for some elements of each step",
      {{"density", 0.1, 1e-6, 1, "part of the elements of all weights that a step looks at"},
       {"radius", 5e-3, 1e-6, 1, "how far an element is moved"},
       {"two_sided", 0, 0, 1, "moved both ways, else compared with the loss at the point", true},
       {"layers", 0, 0, 1, "each layer's part of them", false, false, {"scores", "even"}},
       {"score_directions", 100, 1, 1e6, "random directions that scores come from", false, true},
       {"every", 1, 1, 1e9, "steps that look at the same elements", false, true},
       {"reuse", 1, 0, 1, "losses begin behind what the moved element does not touch", true}},
      write};
  return unit;
}

}  // namespace espalier
