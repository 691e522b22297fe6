// Dropout, ONNX opset 13: in inference the operand itself; in training each element is dropped with
// probability `ratio` (operand 1, default 0.5) and the others are scaled by 1 / (1 - ratio). The
// second result tells which elements were kept.
//
// Training form is asked for by operand 2 (training_mode) or by the attribute `training`, our
// extension. Its draws are a function of operand 3, the random key (i64[2], our extension), the
// attribute `seed` and the element's index, so equal keys drop equal elements. No gradient flows to
// the ratio.
#include "base/rng.h"
#include "ops/common.h"
#include "ops/emit.h"

namespace espalier::ops {

const Room& dropout();

namespace {

struct Dropout {
  std::optional<int64_t> seed;
  bool training = false;
};

enum class Mode : uint8_t {
  kInference,
  kTraining,
  kUnknown,  ///< training_mode is no constant
};

Mode mode_of(const Dropout& a, const TypesIn& in) {
  if (a.training) return Mode::kTraining;
  if (!in.has(2)) return Mode::kInference;
  if (!in.constant(2)) return Mode::kUnknown;
  return in.constant(2)->at(0) != 0 ? Mode::kTraining : Mode::kInference;
}

[[noreturn]] void refuse_without_key(const std::string& where) {
  throw unsupported(where, "drops elements at random but has no random key",
                    "give an i64[2] key as operand 3, or use inference form");
}

Types infer(const Dropout& a, const TypesIn& in) {
  require_float(in, 0);
  if (in.has(1)) {
    require_float(in, 1);
    require_rank(in, 1, 0);
  }
  if (in.has(2)) {
    require_rank(in, 2, 0);
    if (in[2].dtype != DType::boolean) in.fail("training_mode must be a bool");
  }
  if (in.has(3) && !(in[3] == TensorType(DType::i64, Shape{2})))
    in.fail("the random key is " + to_string(in[3]) + ", i64[2] is needed");
  const bool drops = !in.constant(1) || in.constant(1)->at(0) != 0;
  if (mode_of(a, in) == Mode::kTraining && drops && !in.has(3)) refuse_without_key(in.where());
  return {in[0], TensorType(DType::boolean, in[0].dims)};
}

/// The probability of dropping, 0 in inference.
template <class Real>
double ratio_of(const Dropout& a, const Ref<Real>& r) {
  const bool training = a.training || (r.has(2) && r.tensor(2).at(0) != 0);
  if (!training) return 0;
  const double ratio = r.has(1) ? r.tensor(1).at(0) : 0.5;
  if (!(ratio >= 0 && ratio < 1))
    throw bad_input("Dropout", "the ratio is " + std::to_string(ratio),
                    "it must be at least 0 and below 1");
  if (ratio > 0 && !r.has(3)) refuse_without_key("Dropout");
  return ratio;
}

template <class Real>
void reference(const Dropout& a, Ref<Real>& r) {
  const double ratio = ratio_of(a, r);
  const auto x = r.real(0);
  const auto y = r.out_real(0);
  const auto kept = r.out_ints(1);
  if (ratio == 0) {
    std::copy(x.begin(), x.end(), y.begin());
    std::fill(kept.begin(), kept.end(), 1);
    return;
  }
  const auto key = r.ints(3);
  const Rng rng = Rng(uint64_t(key[0]), uint64_t(key[1])).fork(uint64_t(a.seed.value_or(0)));
  const Real scale = Real(1 / (1 - ratio));
  for (size_t i = 0; i < x.size(); ++i) {
    kept[i] = rng.uniform(i) >= ratio;
    y[i] = kept[i] ? scale * x[i] : Real(0);
  }
}

// y is linear in x with the same draws: dx is dy with the same elements dropped.
Values gradient(const Dropout& a, Builder& b, const Tape& t) {
  Values d(t.inputs(), kNoValue);
  if (!t.wants(0) || t.dy() == kNoValue) return d;
  Values operands = {t.dy()};
  for (size_t i = 1; i < t.inputs(); ++i) operands.push_back(t.x(i));
  d[0] = b.op(dropout(), Attributes::of(a), operands).at(0);
  return d;
}

Cost cost(const Dropout& a, const TypesIn& in, const Types& out) {
  return mode_of(a, in) == Mode::kInference ? move_cost(in, out) : map_cost(30, in, out);
}

// The draws of training form belong to positions, so nothing may be cut from it.
AxisMap axes(const Dropout& a, const TypesIn& in, const Types&) {
  if (mode_of(a, in) != Mode::kInference) return {};
  AxisMap map = AxisMap::identity(in);
  for (AxisTie& tie : map.ties) tie.places.push_back(AxisPlace::out(1, tie.places[0].axis));
  return map;
}

QuantForm quantize(const Dropout&, const TypesIn&) {
  return {.activations = {0}, .result = QuantForm::Result::kSameAsInput};
}

std::optional<ScalarOp> pointwise(const Dropout& a, const TypesIn& in) {
  if (mode_of(a, in) != Mode::kInference) return std::nullopt;
  return ScalarOp{ScalarCode::kIdentity};
}

Dropout with_mode(const Dropout& a, bool training) { return {a.seed, training}; }

void emit(const Dropout& a, CWriter& c) {
  if (mode_of(a, c.types()) != Mode::kInference) c.refuse(draws_at_random().why);
  c.view(0, 0);
  if (c.wants(1))
    c.nest({c.out_size(1)}, {{0, {1}}},
           [&](const std::vector<std::string>& at) { c.store(1, at[0], "1"); });
}

}  // namespace

const Room& dropout() {
  using Spec = OperandSpec;
  const auto omitted = Spec::omitted(), key = Spec::list({7, 3});
  const auto ratio = [](float v) { return Spec::fixed(Tensor::scalar(v)); };
  const auto mode = [](bool on) { return Spec::fixed(Tensor::scalar(on)); };
  static const Room room = make_room<Dropout>({
      .onnx = {"Dropout", 13},
      .arity = {1, 4, 1, 2},
      .attributes = {{"seed", &Dropout::seed}, {"training", &Dropout::training}},
      .infer = infer,
      .reference = ESP_REFERENCE(Dropout, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = quantize,
      .pointwise = pointwise,
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {Spec::of({2, 3})}},
                  {{}, {Spec::of({2, 3}), ratio(0.3f), mode(false)}},
                  {{}, {Spec::of({4, 5}), omitted, mode(true), key}},
                  {{5, true}, {Spec::of({4, 5}), omitted, omitted, key}},
                  {{{}, true}, {Spec::of({0, 5}), omitted, omitted, key}}},
      .with_mode = with_mode,
      .random_key = 3,
  });
  return room;
}

}  // namespace espalier::ops
