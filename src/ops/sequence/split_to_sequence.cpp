// SplitToSequence, ONNX opset 11: pieces along an axis as a sequence: of the sizes a list names, of
// one size (a smaller last one), or of size 1, whose axis may be dropped.
#include "ops/sequence/sequence.h"

namespace espalier::ops {
namespace {

struct SplitToSequence {
  int64_t axis = 0;
  bool keepdims = true;
};

Types infer(const SplitToSequence& a, const TypesIn& in) {
  const auto axis = axis_of(in, 0, a.axis);
  TensorType piece = in[0];
  if (in.has(1)) {
    if ((in[1].dtype != DType::i64 && in[1].dtype != DType::i32) || in[1].rank() > 1)
      in.fail("the sizes are " + to_string(in[1]) + ", an integer or a list of them is needed");
    piece.dims[size_t(axis)] = Dim::unknown();
  } else if (a.keepdims) {
    piece.dims[size_t(axis)] = Dim(1);
  } else {
    piece.dims.erase(piece.dims.begin() + axis);
  }
  return {sequence_of(std::move(piece))};
}

/// The sizes of the pieces.
std::vector<int64_t> sizes_of(const Tensor* split, int64_t extent) {
  std::vector<int64_t> sizes;
  if (split && split->rank() == 1) {
    sizes = split->to_i64();
    int64_t sum = 0;
    for (int64_t size : sizes)
      if (size < 0 || size > extent || (sum += size) > extent) sum = extent + 1;
    if (sum != extent)
      throw bad_input("SplitToSequence", "the sizes " + to_string(sizes) + " do not add up to " +
                                             std::to_string(extent));
    return sizes;
  }
  const int64_t size = split ? split->int_at(0) : 1;
  if (size < 1)
    throw bad_input("SplitToSequence", "cannot split into pieces of " + std::to_string(size));
  for (int64_t at = 0; at < extent; at += size) sizes.push_back(std::min(size, extent - at));
  return sizes;
}

template <class Real>
void reference(const SplitToSequence& a, Ref<Real>& r) {
  const Tensor& x = r.tensor(0);
  const int64_t axis = normal_axis(a.axis, x.rank(), "SplitToSequence");
  std::vector<Datum> items;
  int64_t first = 0;
  for (int64_t size : sizes_of(r.has(1) ? &r.tensor(1) : nullptr, x.shape()[size_t(axis)])) {
    Tensor piece = part_of(x, axis, first, size);
    items.push_back(a.keepdims || r.has(1) ? piece : without_axis(piece, axis));
    first += size;
  }
  r.give(0, Datum::sequence(r.out_type(0).element(), std::move(items)));
}

}  // namespace

const Room& split_to_sequence() {
  static const Room room = make_room<SplitToSequence>({
      .onnx = {"SplitToSequence", 11},
      .arity = {1, 2},
      .attributes = {{"axis", &SplitToSequence::axis}, {"keepdims", &SplitToSequence::keepdims}},
      .infer = infer,
      .reference = ESP_REFERENCE(SplitToSequence, reference),
      .gradient = no_gradient_of_sequences(),
      .cost = handles<SplitToSequence>,
      .axes = ties_nothing<SplitToSequence>,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = needs_growing_memory(),
      .samples = {{{1}, {OperandSpec::of({2, 5}), OperandSpec::fixed(Tensor::scalar<int64_t>(2))}},
                  {{0}, {OperandSpec::of({3, 2}), OperandSpec::list({1, 0, 2})}},
                  {{-1, false}, {OperandSpec::of({2, 3})}},
                  {{}, {OperandSpec::of({3})}}},
  });
  return room;
}

}  // namespace espalier::ops
