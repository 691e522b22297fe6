// GatherND, ONNX opset 13: slices of the data named by the tuples along the last axis of indices,
// behind batch_dims axes common to both.
#include "base/error.h"
#include "ops/emit.h"
#include "ops/shape/scatter.h"

namespace espalier::ops {
namespace {

struct GatherNd {
  int64_t batch_dims = 0;
};

Types infer(const GatherNd& a, const TypesIn& in) {
  require_index_type(in, 1);
  const Dims &data = in[0].dims, &indices = in[1].dims;
  if (indices.empty() || !indices.back().known())
    in.fail("the indices " + to_string(in[1]) + " hold no tuples of known length");
  const int64_t length = indices.back().value(), batch = a.batch_dims;
  if (batch < 0 || batch >= int64_t(indices.size()) || batch + length > int64_t(data.size()))
    in.fail("tuples of " + std::to_string(length) + " behind " + std::to_string(batch) +
            " batch axes do not fit " + to_string(in[0]));
  for (size_t d = 0; d < size_t(batch); ++d)
    if (data[d].known() && indices[d].known() && !(data[d] == indices[d]))
      in.fail("batch axis " + std::to_string(d) + " differs between data and indices");
  Dims dims(indices.begin(), indices.end() - 1);
  dims.insert(dims.end(), data.begin() + batch + length, data.end());
  return {TensorType(in[0].dtype, std::move(dims))};
}

template <class Real>
void reference(const GatherNd& a, Ref<Real>& r) {
  const ElementCopier copy(r.tensor(0), r.out_tensor(0));
  for_each_tuple(r.tensor(1), r.shape(0), a.batch_dims, "GatherND",
                 [&](int64_t from, int64_t to, int64_t run) { copy(to, from, run); });
}

Values gradient(const GatherNd& a, Builder& b, const Tape& t) {
  if (a.batch_dims != 0)
    throw unsupported("GatherND", "the gradient with batch_dims is not defined");
  return {b.one("ScatterND", {zeros_like(b, t.x(0)), t.x(1), t.dy()},
                {{"reduction", std::string("add")}}),
          kNoValue};
}

// Axes behind the tuples pass.
AxisMap axes(const GatherNd& a, const TypesIn& in, const Types& out) {
  const int64_t passing = in[0].rank() - a.batch_dims - in[1].dims.back().value();
  std::vector<std::pair<int64_t, int64_t>> moved;
  for (int64_t d = 1; d <= passing; ++d)
    moved.emplace_back(in[0].rank() - d, out[0].tensor().rank() - d);
  return moved_axes(in, moved);
}

void emit(const GatherNd& a, CWriter& c) {
  emit_tuple_positions(c, a.batch_dims, [&](const std::string& data, const std::string& own) {
    c.store(0, own, c.load(0, data));
  });
}

}  // namespace

const Room& gather_nd() {
  static const Room room = make_room<GatherNd>({
      .onnx = {"GatherND", 13},
      .arity = {2, 2},
      .attributes = {{"batch_dims", &GatherNd::batch_dims}},
      .infer = infer,
      .reference = ESP_REFERENCE(GatherNd, reference),
      .gradient = gradient,
      .cost = moves<GatherNd>,
      .axes = axes,
      .quantize = moves_quantized<GatherNd>,
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{},
                   {OperandSpec::of({3, 4, 2}),
                    OperandSpec::fixed(Tensor::from<int64_t>({2, 2}, {0, 1, -1, 3}))}},
                  {{}, {OperandSpec::of({3, 4}), OperandSpec::ranged({2, 1}, 0, 2, DType::i64)}}},
  });
  return room;
}

}  // namespace espalier::ops
