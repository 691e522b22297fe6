#include "ops/random/draw.h"

#include <bit>
#include <limits>

#include "ops/shape/move.h"

namespace espalier::ops {

void require_key(const TypesIn& in, size_t slot) {
  if (in.has(slot) && !(in[slot] == TensorType(DType::i64, Shape{2})))
    in.fail("the random key is " + to_string(in[slot]) + ", i64[2] is needed");
}

Rng generator(float seed, const Tensor* key) {
  const auto k = key ? key->to_i64() : std::vector<int64_t>{0, 0};
  return Rng(uint64_t(k[0]), uint64_t(k[1])).fork(std::bit_cast<uint32_t>(seed));
}

DType drawn_type(const TypesIn& in, std::optional<DType> dtype, DType otherwise) {
  const DType type = dtype.value_or(otherwise);
  if (!is_float(type))
    in.fail("draws " + std::string(name_of(type)) + ", a float type is needed",
            dtype ? "" : "give dtype");
  return type;
}

namespace {

struct Draw {
  float first = 0, second = 1;
  float seed = 0;
  std::optional<DType> dtype = {};
  std::vector<int64_t> shape = {};
};

Types infer_shaped(const Draw& a, const TypesIn& in) {
  require_key(in, 0);
  return {TensorType(drawn_type(in, a.dtype, DType::f32), checked_extents(in, a.shape))};
}

Types infer_like(const Draw& a, const TypesIn& in) {
  require_key(in, 1);
  return {TensorType(drawn_type(in, a.dtype, in[0].dtype), in[0].dims)};
}

Cost draw_cost(const Draw&, const TypesIn& in, const Types& out) { return map_cost(40, in, out); }

// Nothing drawn depends on an operand.
Values no_gradient(const Draw&, Builder&, const Tape& t) { return Values(t.inputs(), kNoValue); }

/// The largest number of the type below `high`; infinity where none from `low` on is.
double last_below(double low, double high, DType type) {
  const auto rounded = [&](double v) { return Tensor::scalar(v).cast(type).at(0); };
  if (!(rounded(low) < high)) return std::numeric_limits<double>::infinity();
  double inside = low, outside = high;
  for (int i = 0; i < 64; ++i) {
    const double middle = inside + (outside - inside) / 2;
    (rounded(middle) < high ? inside : outside) = middle;
  }
  return rounded(inside);
}

ReferenceOf<Draw> reference(const Distribution& d, size_t key_slot) {
  const auto run = [d, key_slot](const Draw& a, auto& r) {
    const Rng rng = generator(a.seed, r, key_slot);
    const double first = double(a.first), second = double(a.second);
    const double most = d.below_second ? last_below(first, second, r.out_dtype(0))
                                       : std::numeric_limits<double>::infinity();
    fill_with(r, [&](uint64_t i) { return std::min(d.draw(rng, i, first, second), most); });
  };
  return {[run](const Draw& a, Ref<float>& r) { run(a, r); },
          [run](const Draw& a, Ref<double>& r) { run(a, r); }};
}

double draw_normal(const Rng& rng, uint64_t i, double mean, double scale) {
  return mean + scale * rng.normal(i);
}
double draw_uniform(const Rng& rng, uint64_t i, double low, double high) {
  return rng.uniform(i, low, high);
}

/// The room of a distribution; `own` is what the attributes say that not both forms have.
Room draw_room(OpName onnx, const Distribution& d, std::vector<Field> own,
               Types (*infer)(const Draw&, const TypesIn&), size_t key_slot,
               std::vector<SampleOf<Draw>> samples) {
  std::vector<Field> fields = {{d.first, &Draw::first},
                               {d.second, &Draw::second},
                               required("seed", &Draw::seed),
                               {"dtype", &Draw::dtype}};
  fields.insert(fields.end(), own.begin(), own.end());
  return make_room<Draw>({
      .onnx = std::move(onnx),
      .arity = {int(key_slot), int(key_slot) + 1},
      .attributes = std::move(fields),
      .infer = infer,
      .reference = reference(d, key_slot),
      .gradient = no_gradient,
      .cost = draw_cost,
      .axes = axes_of_draws<Draw>,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = draws_at_random(),
      .samples = std::move(samples),
      .random_key = int(key_slot),
  });
}

}  // namespace

const Distribution kNormal = {"mean", "scale", draw_normal, false};
const Distribution kUniform = {"low", "high", draw_uniform, true};

Room shaped_draw(OpName onnx, const Distribution& d) {
  return draw_room(std::move(onnx), d, {required("shape", &Draw::shape)}, infer_shaped, 0,
                   {{{.shape = {2, 3}}, {}},
                    {{-1, 2, 7.0f, DType::f64, {4}}, {OperandSpec::list({1, 2})}},
                    {{.shape = {0, 2}}, {}}});
}

Room like_draw(OpName onnx, const Distribution& d) {
  return draw_room(std::move(onnx), d, {}, infer_like, 1,
                   {{{}, {OperandSpec::of({2, 3})}},
                    {{-1, 2, 7.0f, DType::f32},
                     {OperandSpec::ranged({4}, 0, 9, DType::i32), OperandSpec::list({1, 2})}}});
}

}  // namespace espalier::ops
