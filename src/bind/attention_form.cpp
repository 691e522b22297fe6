#include "bind/attention_form.h"

#include <algorithm>
#include <cmath>

#include "bind/attention_nodes.h"
#include "bind/strided_view.h"
#include "ir/builder.h"

namespace espalier::bind {
namespace {

using Factors = std::vector<StridedView::Factor>;

struct Refusal {
  std::string why;
};

/// Scores below this are never seen: with any score added, exp of it is 0 beside the largest.
constexpr double kNothing = -1e30;
/// Masks of more elements are not searched for triangles.
constexpr int64_t kMostSearched = int64_t{1} << 24;
/// A tensor where it lies, and what it is multiplied by on the way.
struct Operand {
  ValueId root = kNoValue;
  StridedView view;
  double scale = 1;
  std::optional<kernels::Quantised> stored;
};

/// Query i sees keys up to i + ahead; `infinite`: what it does not see counts minus infinity.
struct Triangle {
  int64_t ahead;
  bool infinite;
};

class Reader {
 public:
  Reader(const Graph& g, const std::function<bool(NodeId)>& inside) : g_(g), inside_(inside) {}

  AttentionForm read(NodeId softmax) {
    ValueId weights = g_.node(softmax).outputs[0];
    scores_ = shape_of(weights);
    weights = read_back_of(weights, form_.spec.weights);
    const NodeId mix = reader_of(weights);
    if (!is_product(g_, mix) || g_.node(mix).inputs[0] != weights)
      throw Refusal{"no product follows the softmax"};
    const NodeId product = read_scores(g_.node(softmax).inputs[0]);
    settle_triangles();
    const ValueId result = g_.node(mix).outputs[0];
    const Node& scores = g_.node(product);
    if (scores_.size() < 2 || shape_of(result).size() != scores_.size() ||
        shape_of(scores.outputs[0]) != scores_)
      throw Refusal{"the scores are no matrices, or are broadcast"};
    for (ValueId v : {scores.inputs[0], scores.inputs[1], g_.node(mix).inputs[1]})
      if (shape_of(v).size() < 2) throw Refusal{"an operand is a vector"};

    const Operand q = operand(scores.inputs[0]), k = operand(scores.inputs[1]);
    const Operand v = operand(g_.node(mix).inputs[1]);
    if (v.scale != 1) throw Refusal{"the values are scaled"};
    if (form_.spec.product && q.scale * k.scale != 1)
      throw Refusal{"queries or keys are scaled before their product is rounded"};
    const StridedView y = result_view(result);
    const size_t lead = scores_.size() - 2;

    AttentionForm& f = form_;
    f.q = q.root;
    f.k = k.root;
    f.v = v.root;
    f.spec.q = q.stored;
    f.spec.k = k.stored;
    f.spec.v = v.stored;
    kernels::AttentionSpec& s = f.spec.form;
    s.type = g_.value(result).tensor().dtype;
    if (s.quantised && (s.type != DType::f32 || y.stride(y.axes.size() - 1) != 1))
      throw Refusal{"what is quantised is not f32 side by side"};
    s.scale = float(scale_ * q.scale * k.scale);
    s.queries = scores_[lead];
    s.keys = scores_[lead + 1];
    s.size = shape_of(scores.inputs[0]).back();
    s.values = shape_of(result).back();
    s.q = tail(q.view, false);
    s.k = tail(k.view, true);
    s.v = tail(v.view, false);
    s.y = tail(y, false);
    std::vector<std::vector<Factors>> heads = {lead_axes(q.view), lead_axes(k.view),
                                               lead_axes(v.view), lead_axes(y)};
    for (size_t i = 0; i < masks_.size(); ++i) {
      const auto t = tail(masks_[i].view, false);
      s.masks.push_back({t.offset, {}, t.token, t.feature});
      f.masks.push_back(masks_[i].root);
      heads.push_back(lead_axes(masks_[i].view));
    }
    auto common = common_axes(heads);
    if (!common) throw Refusal{"operands divide their heads differently"};
    s.heads = std::move(common->extents);
    s.q.heads = std::move(common->strides[0]);
    s.k.heads = std::move(common->strides[1]);
    s.v.heads = std::move(common->strides[2]);
    s.y.heads = std::move(common->strides[3]);
    for (size_t i = 0; i < masks_.size(); ++i) s.masks[i].heads = std::move(common->strides[4 + i]);
    for (int64_t extent : {numel(s.heads), s.queries, s.keys, s.size, s.values})
      if (extent == 0) throw Refusal{"a tensor is empty"};
    return std::move(form_);
  }

 private:
  Shape shape_of(ValueId v) const {
    const Type& t = g_.value(v).type;
    if (!t.is_static()) throw Refusal{"the extents are not known"};
    return t.tensor().shape();
  }

  /// The one reader inside.
  NodeId reader_of(ValueId v) const {
    NodeId found = kNoNode;
    for (NodeId id : g_.order()) {
      if (!inside_(id) || std::ranges::find(g_.node(id).inputs, v) == g_.node(id).inputs.end())
        continue;
      if (found != kNoNode) throw Refusal{"a value inside is read twice"};
      found = id;
    }
    if (found == kNoNode) throw Refusal{"no product follows the softmax"};
    return found;
  }

  /// From the softmax's operand to the product; takes masks and scales on the way.
  NodeId read_scores(ValueId v) {
    while (true) {
      const NodeId id = producer(g_, v);
      if (id == kNoNode || !inside_(id)) throw Refusal{"the scores come from outside"};
      if (is_product(g_, id)) return id;
      if (const ValueId before = rounded_operand(g_, id); before != kNoValue) {
        take_rounding(*stored_as(g_, id));
        v = before;
        continue;
      }
      const ValueId next = scores_operand(g_, id);
      if (next == kNoValue) throw Refusal{"the scores are no product of queries and keys"};
      if (next == scaled_operand(g_, id)) {
        if (form_.spec.product) throw Refusal{"the scores are rounded between scales"};
        scale_ *= factor_of(id);
        place_ = Place::kProduct;
      } else {
        if (place_ == Place::kAll) place_ = Place::kScaled;
        if (form_.spec.scaled || form_.spec.product)
          throw Refusal{"the scores are rounded between masks"};
        if (scale_ != 1) throw Refusal{"a mask is scaled with the scores"};
        if (is_named(g_, id, "Add"))
          take_mask(g_.node(id).inputs[0] == next ? g_.node(id).inputs[1] : g_.node(id).inputs[0]);
        else
          take_choice(id, next);
      }
      if (shape_of(next) != scores_) throw Refusal{"the scores are broadcast to their mask"};
      v = next;
    }
  }

  /// Of the scores, on the way from the softmax back to the product.
  void take_rounding(const kernels::Quantised& as) {
    kernels::RoundedAttention& s = form_.spec;
    auto& at = place_ == Place::kAll ? s.masked : place_ == Place::kScaled ? s.scaled : s.product;
    if (at) throw Refusal{"the scores are rounded twice"};
    at = as;
  }

  /// What is read of `v`: itself, or what it is rounded to inside.
  ValueId read_back_of(ValueId v, std::optional<kernels::Quantised>& as) const {
    const NodeId next = reader_of(v);
    if (!stores(g_, next)) return v;
    const NodeId back = reader_of(g_.node(next).outputs[0]);
    if (rounded_operand(g_, back) != v) throw Refusal{"the weights go on as integers"};
    as = stored_as(g_, back);
    return g_.node(back).outputs[0];
  }

  double factor_of(NodeId id) const {
    const auto& in = g_.node(id).inputs;
    if (is_named(g_, id, "Div")) return 1 / *number(g_, in[1]);
    const auto right = number(g_, in[1]);
    return right ? *right : *number(g_, in[0]);
  }

  void take_mask(ValueId v) {
    Operand mask = operand(v);
    if (mask.scale != 1) throw Refusal{"a mask is scaled"};
    if (mask.stored) throw Refusal{"a mask is dequantised inside"};
    if (auto t = triangle(mask); t && !form_.spec.masked) {
      triangles_.push_back({*t, std::move(mask)});
      return;
    }
    masks_.push_back(broadcast(std::move(mask)));
  }

  /// Where(known triangle, scores, nothing).
  void take_choice(NodeId id, ValueId scores) {
    const auto& in = g_.node(id).inputs;
    const bool keeps = in[1] == scores;
    const auto other = number(g_, keeps ? in[2] : in[1]);
    if (!other || !(*other <= kNothing)) throw Refusal{"a choice gives other scores than none"};
    auto t = triangle(operand(in[0]), keeps);
    if (!t) throw Refusal{"a choice is no known triangle"};
    if (form_.spec.masked) throw Refusal{"what is hidden is rounded"};
    t->infinite = std::isinf(*other);
    triangles_.push_back({*t, std::nullopt});
  }

  /// Beside masks, what is hidden by a finite number may still be the least hidden.
  void settle_triangles() {
    const bool masked = !masks_.empty();
    for (auto& [t, mask] : triangles_) {
      if (!masked || t.infinite) {
        auto& known = form_.spec.form.ahead;
        known = known ? std::min(*known, t.ahead) : t.ahead;
      } else if (mask) {
        masks_.push_back(broadcast(std::move(*mask)));
      } else {
        throw Refusal{"a choice by a finite number stands beside a mask"};
      }
    }
  }

  /// How far ahead queries see, if the known tensor shows every query what stands up to so far
  /// ahead and no more: by zeros among what is nothing, or by `keeps`.
  std::optional<Triangle> triangle(const Operand& m, std::optional<bool> keeps = {}) const {
    if (!g_.is_constant(m.root)) return std::nullopt;
    const size_t rank = m.view.axes.size();
    if (rank < 2) return std::nullopt;
    for (size_t axis = 0; axis + 2 < rank; ++axis)
      if (m.view.extent(axis) != 1) return std::nullopt;
    const int64_t queries = m.view.extent(rank - 2), keys = m.view.extent(rank - 1);
    const auto down = m.view.stride(rank - 2), along = m.view.stride(rank - 1);
    if (queries != scores_[scores_.size() - 2] || keys != scores_.back() || !down || !along ||
        queries > kMostSearched / std::max<int64_t>(1, keys))
      return std::nullopt;
    const Tensor& t = *g_.value(m.root).constant;
    if (t.dtype() == DType::string) return std::nullopt;
    bool infinite = true;
    const auto seen = [&](int64_t i, int64_t j) -> std::optional<bool> {
      const double x = t.at(m.view.offset + i * *down + j * *along);
      if (keeps) return (x != 0) == *keeps;
      if (x == 0) return true;
      infinite = infinite && std::isinf(x);
      return x <= kNothing ? std::optional(false) : std::nullopt;
    };
    int64_t ahead = -1;
    while (ahead + 1 < keys && seen(0, ahead + 1) == true) ++ahead;
    if (ahead < 0 || ahead + 1 >= keys) return std::nullopt;
    for (int64_t i = 0; i < queries; ++i)
      for (int64_t j = 0; j < keys; ++j)
        if (seen(i, j) != (j <= i + ahead)) return std::nullopt;
    return Triangle{ahead, infinite};
  }

  /// Back through views and scales that are inside.
  Operand operand(ValueId v) const {
    const NodeId id = producer(g_, v);
    if (id == kNoNode || !inside_(id)) {
      const Shape shape = shape_of(v);
      if (numel(shape) == 0) throw Refusal{"a tensor is empty"};
      return {v, StridedView::of(shape), 1, {}};
    }
    const Node& n = g_.node(id);
    if (reads_back(g_, id)) {
      Operand o = operand(n.inputs[0]);
      if (o.stored) throw Refusal{"an operand is dequantised twice"};
      o.stored = stored_as(g_, id);
      return o;
    }
    if (const ValueId from = scaled_operand(g_, id); from != kNoValue) {
      Operand o = operand(from);
      if (shape_of(from) != shape_of(v)) throw Refusal{"a scale broadcasts an operand"};
      o.scale *= factor_of(id);
      return o;
    }
    if (!is_view(g_, id)) throw Refusal{"an operand is computed inside the region"};
    Operand o = operand(n.inputs[0]);
    const size_t at = size_t(std::ranges::find(n.outputs, v) - n.outputs.begin());
    auto view = viewed(g_, id, at, o.view);
    if (!view) throw Refusal{"an operand lies in no strides"};
    o.view = std::move(*view);
    return o;
  }

  /// Where the product with the values lies in what is the result after views.
  StridedView result_view(ValueId product) {
    std::vector<NodeId> after;
    ValueId v = product;
    while (true) {
      NodeId next = kNoNode;
      for (NodeId id : g_.order())
        if (inside_(id) && !g_.node(id).inputs.empty() && g_.node(id).inputs[0] == v) next = id;
      if (next == kNoNode) break;
      after.push_back(next);
      v = g_.node(next).outputs[0];
    }
    form_.result = v;
    const auto rounds =
        std::ranges::find_if(after, [&](NodeId id) { return rounded_operand(g_, id) != kNoValue; });
    if (rounds != after.end()) {
      form_.spec.result = stored_as(g_, *rounds);
      after.erase(rounds - 1, rounds + 1);
    }
    if (!after.empty() && stores(g_, after.back())) {
      form_.spec.form.quantised = stored_as(g_, after.back());
      after.pop_back();
    }
    StridedView y = StridedView::of(shape_of(v));
    while (!after.empty()) {
      auto back = viewed_back(g_, after.back(), y);
      if (!back) throw Refusal{"the result is written in no strides"};
      y = std::move(*back);
      after.pop_back();
    }
    return y;
  }

  /// The mask with as many axes as the scores; those that lack or are 1 there are shared.
  Operand broadcast(Operand mask) const {
    StridedView& x = mask.view;
    if (x.axes.size() > scores_.size()) throw Refusal{"a mask has more axes than the scores"};
    x.axes.insert(x.axes.begin(), scores_.size() - x.axes.size(), Factors{});
    for (size_t i = 0; i < x.axes.size(); ++i)
      if (x.extent(i) == 1 && scores_[i] != 1) x.axes[i] = {{scores_[i], 0}};
    return mask;
  }

  /// Offset and the strides of the last two axes, tokens last where `turned`.
  static kernels::AttentionSpec::View tail(const StridedView& x, bool turned) {
    const size_t n = x.axes.size();
    const auto outer = x.stride(n - 2), inner = x.stride(n - 1);
    if (!outer || !inner) throw Refusal{"an operand lies in no strides"};
    return {x.offset, {}, turned ? *inner : *outer, turned ? *outer : *inner};
  }

  /// All axes but the last two, shared where the scores have more.
  std::vector<Factors> lead_axes(const StridedView& x) const {
    const size_t lead = scores_.size() - 2, own = x.axes.size() - 2;
    std::vector<Factors> axes(lead - own);
    axes.insert(axes.end(), x.axes.begin(), x.axes.end() - 2);
    for (size_t i = 0; i < lead; ++i) {
      if (axes[i].empty() && scores_[i] != 1) axes[i] = {{scores_[i], 0}};
    }
    return axes;
  }

  const Graph& g_;
  const std::function<bool(NodeId)>& inside_;
  AttentionForm form_;
  Shape scores_;
  double scale_ = 1;
  /// Behind what the scores stand, on the way back: masks and scale, the scale alone, neither.
  enum class Place : uint8_t { kAll, kScaled, kProduct } place_ = Place::kAll;
  std::vector<Operand> masks_;
  std::vector<std::pair<Triangle, std::optional<Operand>>> triangles_;  ///< and the mask it is
};

}  // namespace

std::variant<AttentionForm, Refuse> attention_form(const Graph& graph, NodeId softmax,
                                                   const std::function<bool(NodeId)>& inside) {
  try {
    return Reader(graph, inside).read(softmax);
  } catch (const Refusal& r) {
    return Refuse{r.why};
  }
}

}  // namespace espalier::bind
