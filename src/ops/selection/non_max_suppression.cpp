// NonMaxSuppression, ONNX opset 11: for each batch and class the boxes of highest score, none of
// which overlaps a better one by more than the threshold. Rows of the result are (batch, class,
// box).
#include <numeric>

#include "ops/selection/selection.h"

namespace espalier::ops {
namespace {

struct NonMaxSuppression {
  bool center_point_box = false;
};

Types infer(const NonMaxSuppression&, const TypesIn& in) {
  require_rank(in, 0, 3);
  require_rank(in, 1, 3);
  require_float(in, 0);
  require_same_dtype(in, 0, 2);
  const Dims &boxes = in[0].dims, &scores = in[1].dims;
  const auto differ = [](const Dim& a, const Dim& b) {
    return a.known() && b.known() && a.value() != b.value();
  };
  if (differ(boxes[2], Dim(4)))
    in.fail("boxes are " + to_string(in[0]) + ", [N,boxes,4] is needed");
  if (differ(boxes[0], scores[0]) || differ(boxes[1], scores[2]))
    in.fail("scores are " + to_string(in[1]) + ", which does not fit boxes of " + to_string(in[0]));
  for (size_t i = 2; i < 5; ++i) {
    if (!in.has(i)) continue;
    const bool count = i == 2;
    if (in[i].rank() > 1 || (in[i].is_static() && in[i].numel() != 1) ||
        (count ? in[i].dtype != DType::i64 : !is_float(in[i].dtype)))
      in.fail("operand " + std::to_string(i) + " is " + to_string(in[i]) + ", one " +
              (count ? "i64" : "float") + " is needed");
  }
  return {TensorType(DType::i64, Dims{Dim::unknown(), Dim(3)})};
}

template <class Real>
struct Box {
  Real low[2], high[2];
  Real area() const { return (high[0] - low[0]) * (high[1] - low[1]); }
};

template <class Real>
Box<Real> box_at(std::span<const Real> boxes, size_t i, bool center) {
  const Real* b = boxes.data() + 4 * i;
  if (center)  // x, y, width, height
    return {{b[1] - b[3] / 2, b[0] - b[2] / 2}, {b[1] + b[3] / 2, b[0] + b[2] / 2}};
  return {{std::min(b[0], b[2]), std::min(b[1], b[3])},
          {std::max(b[0], b[2]), std::max(b[1], b[3])}};
}

/// Intersection over union above the threshold; boxes without area overlap nothing.
template <class Real>
bool overlap(const Box<Real>& a, const Box<Real>& b, Real threshold) {
  Real both = 1;
  for (int d = 0; d < 2; ++d)
    both *= std::max<Real>(0, std::min(a.high[d], b.high[d]) - std::max(a.low[d], b.low[d]));
  if (!(a.area() > 0) || !(b.area() > 0)) return false;
  return both / (a.area() + b.area() - both) > threshold;
}

template <class Real>
void reference(const NonMaxSuppression& a, Ref<Real>& r) {
  const Shape& shape = r.shape(1);
  const int64_t batches = shape[0], classes = shape[1], count = shape[2];
  const auto boxes = r.real(0), scores = r.real(1);
  const int64_t most = r.has(2) ? r.ints(2)[0] : 0;
  const Real overlap_most = r.has(3) ? r.real(3)[0] : Real(0);
  std::vector<int64_t> rows;
  for (int64_t batch = 0; batch < batches; ++batch)
    for (int64_t c = 0; c < classes; ++c) {
      const Real* score = scores.data() + (batch * classes + c) * count;
      std::vector<int64_t> order(static_cast<size_t>(count));
      std::iota(order.begin(), order.end(), 0);
      std::erase_if(order, [&](int64_t i) {
        return score[i] != score[i] || (r.has(4) && !(score[i] > r.real(4)[0]));
      });
      std::ranges::stable_sort(order, [&](int64_t i, int64_t j) { return score[i] > score[j]; });
      std::vector<Box<Real>> kept;
      for (int64_t i : order) {
        if (int64_t(kept.size()) >= most) break;
        const auto box = box_at<Real>(boxes, size_t(batch * count + i), a.center_point_box);
        if (std::ranges::any_of(kept, [&](const auto& k) { return overlap(k, box, overlap_most); }))
          continue;
        kept.push_back(box);
        rows.insert(rows.end(), {batch, c, i});
      }
    }
  r.resize(0, {int64_t(rows.size() / 3), 3});
  std::ranges::copy(rows, r.out_ints(0).begin());
}

Cost cost(const NonMaxSuppression&, const TypesIn& in, const Types& out) {
  return {0, 16 * double(in[1].numel()), traffic(in, out)};
}

AxisMap axes(const NonMaxSuppression&, const TypesIn&, const Types&) { return {}; }

std::vector<OperandSpec> sample(int64_t most, float overlap, float score) {
  return {OperandSpec::ranged({2, 6, 4}, 0, 4), OperandSpec::ranged({2, 3, 6}, 0, 1),
          OperandSpec::fixed(Tensor::from<int64_t>({1}, {most})),
          OperandSpec::fixed(Tensor::from<float>({1}, {overlap})),
          OperandSpec::fixed(Tensor::from<float>({1}, {score}))};
}

}  // namespace

const Room& non_max_suppression() {
  static const Room room = make_room<NonMaxSuppression>({
      .onnx = {"NonMaxSuppression", 11},
      .arity = {2, 5},
      .attributes = {{"center_point_box", &NonMaxSuppression::center_point_box}},
      .infer = infer,
      .reference = ESP_REFERENCE(NonMaxSuppression, reference),
      .gradient = not_differentiable(),
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = sized_by_data(),
      .samples = {{{}, sample(2, 0.3f, 0.25f)},
                  {{true}, sample(3, 0.5f, 0.5f)},
                  {{}, sample(0, 0.5f, 0.f)},
                  {{}, {OperandSpec::of({1, 2, 4}), OperandSpec::of({1, 1, 2})}}},
  });
  return room;
}

}  // namespace espalier::ops
