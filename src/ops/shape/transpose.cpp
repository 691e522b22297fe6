// Transpose, ONNX opset 13: result axis i is operand axis perm[i]; without perm, axes reverse.
#include <numeric>

#include "ops/emit.h"
#include "ops/shape/move.h"

namespace espalier::ops {
namespace {

struct Transpose {
  std::optional<std::vector<int64_t>> perm;
};

std::vector<int64_t> permutation(const Transpose& a, int64_t rank) {
  if (a.perm) return *a.perm;
  std::vector<int64_t> reversed(static_cast<size_t>(rank));
  std::iota(reversed.rbegin(), reversed.rend(), 0);
  return reversed;
}

Types infer(const Transpose& a, const TypesIn& in) {
  const auto perm = permutation(a, in[0].rank());
  std::vector<bool> used(perm.size(), false);
  for (int64_t axis : perm) {
    if (int64_t(perm.size()) != in[0].rank() || axis < 0 || axis >= in[0].rank() ||
        used[size_t(axis)])
      in.fail("perm " + to_string(perm) + " does not permute the axes of " + to_string(in[0]));
    used[size_t(axis)] = true;
  }
  if (int64_t(perm.size()) != in[0].rank())
    in.fail("perm " + to_string(perm) + " does not permute the axes of " + to_string(in[0]));
  TensorType out = in[0];
  for (size_t i = 0; i < perm.size(); ++i) out.dims[i] = in[0].dims[size_t(perm[i])];
  return {std::move(out)};
}

template <class Real>
void reference(const Transpose& a, Ref<Real>& r) {
  const auto perm = permutation(a, r.tensor(0).rank());
  const auto strides = strides_of(r.shape(0));
  Strided source;
  for (int64_t axis : perm) source.strides.push_back(strides[size_t(axis)]);
  copy_block(r.tensor(0), source, r.out_tensor(0), {0, strides_of(r.out_shape(0))}, r.out_shape(0));
}

Values gradient(const Transpose& a, Builder& b, const Tape& t) {
  const auto perm = permutation(a, t.type_x(0).rank());
  std::vector<int64_t> inverse(perm.size());
  for (size_t i = 0; i < perm.size(); ++i) inverse[size_t(perm[i])] = int64_t(i);
  return {b.transpose(t.dy(), inverse)};
}

AxisMap axes(const Transpose& a, const TypesIn& in, const Types&) {
  const auto perm = permutation(a, in[0].rank());
  std::vector<std::pair<int64_t, int64_t>> moved;
  for (size_t i = 0; i < perm.size(); ++i) moved.emplace_back(perm[i], int64_t(i));
  return moved_axes(in, moved);
}

void emit(const Transpose& a, CWriter& c) {
  const Shape to = c.out_shape(0);
  const auto strides = strides_of(c.shape(0));
  CWalk source;
  for (int64_t axis : permutation(a, int64_t(to.size())))
    source.strides.push_back(strides[size_t(axis)]);
  // Where only extents of 1 move, memory stays as it is.
  bool moves = false;
  const auto own = strides_of(to);
  for (size_t d = 0; d < to.size(); ++d) moves |= to[d] != 1 && own[d] != source.strides[d];
  if (!moves) return c.view(0, 0);
  c.copy(0, source, 0, {0, own}, to);
}

}  // namespace

const Room& transpose() {
  static const Room room = make_room<Transpose>({
      .onnx = {"Transpose", 13},
      .arity = {1, 1},
      .attributes = {{"perm", &Transpose::perm}},
      .infer = infer,
      .reference = ESP_REFERENCE(Transpose, reference),
      .gradient = gradient,
      .cost = moves<Transpose>,
      .axes = axes,
      .quantize = moves_quantized<Transpose>,
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {OperandSpec::of({2, 3, 4})}},
                  {{{{0, 2, 3, 1}}}, {OperandSpec::of({2, 3, 4, 5})}},
                  {{{{1, 0}}}, {OperandSpec::of({0, 3})}},
                  {{}, {OperandSpec::of({})}},
                  {{{{1, 0}}},
                   {OperandSpec::fixed(Tensor::from<std::string>({2, 2}, {"a", "b", "c", "d"}))}}},
  });
  return room;
}

}  // namespace espalier::ops
