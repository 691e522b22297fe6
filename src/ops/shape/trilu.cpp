// Trilu, ONNX opset 14: the upper (or lower) triangle of each matrix from diagonal k on, zeros
// elsewhere.
#include "base/error.h"
#include "ops/emit.h"
#include "ops/shape/move.h"

namespace espalier::ops {
namespace {

struct Trilu {
  bool upper = true;
};

Types infer(const Trilu&, const TypesIn& in) {
  if (in[0].rank() < 2) in.fail(to_string(in[0]) + " holds no matrices");
  if (in.has(1) && (in[1].dtype != DType::i64 || in[1].rank() > 1))
    in.fail("the diagonal is " + to_string(in[1]) + ", an i64 scalar is needed");
  return {in[0]};
}

template <class Real>
void reference(const Trilu& a, Ref<Real>& r) {
  const Shape& shape = r.shape(0);
  const int64_t rows = shape[shape.size() - 2], columns = shape.back();
  if (r.has(1) && r.tensor(1).size() != 1)
    throw bad_input("Trilu", "the diagonal must be one number");
  // Beyond the matrix all diagonals are alike; clamped, sums cannot overflow.
  const int64_t k =
      r.has(1) ? std::clamp(r.tensor(1).int_at(0), -rows - 1, columns + 1) : int64_t{0};
  const ElementCopier copy(r.tensor(0), r.out_tensor(0));
  for (int64_t at = 0; at < r.tensor(0).size(); ++at) {
    const int64_t i = at / columns % rows, j = at % columns;
    if (a.upper ? j >= i + k : j <= i + k) copy(at, at);
  }
}

Values gradient(const Trilu& a, Builder& b, const Tape& t) {
  Values operands = {t.dy()};
  if (t.has(1)) operands.push_back(t.x(1));
  Values d(t.inputs(), kNoValue);
  d[0] = b.one("Trilu", operands, {{"upper", int64_t{a.upper}}});
  return d;
}

// Leading axes pass; rows and columns meet on diagonals.
AxisMap axes(const Trilu&, const TypesIn& in, const Types&) {
  std::vector<std::pair<int64_t, int64_t>> leading;
  for (int64_t d = 0; d + 2 < in[0].rank(); ++d) leading.emplace_back(d, d);
  return moved_axes(in, leading);
}

void emit(const Trilu& a, CWriter& c) {
  const Shape shape = c.shape(0);
  const int64_t rows = shape[shape.size() - 2], columns = shape.back();
  if (numel(shape) == 0) return;
  const std::string k = c.has(1) ? " + (int64_t)" + c.load(1, "0") : "";
  c.nest({numel(shape) / (rows * columns), rows, columns},
         {{0, strides_of(Shape{1, rows, columns})}, {0, {0, 1, 0}}, {0, {0, 0, 1}}},
         [&](const std::vector<std::string>& at) {
           c.store(
               0, at[0],
               at[2] + (a.upper ? " >= " : " <= ") + at[1] + k + " ? " + c.load(0, at[0]) + " : 0");
         });
}

}  // namespace

const Room& trilu() {
  static const Room room = make_room<Trilu>({
      .onnx = {"Trilu", 14},
      .arity = {1, 2},
      .attributes = {{"upper", &Trilu::upper}},
      .infer = infer,
      .reference = ESP_REFERENCE(Trilu, reference),
      .gradient = gradient,
      .cost = moves<Trilu>,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {OperandSpec::of({2, 3, 4})}},
                  {{false},
                   {OperandSpec::of({3, 3}), OperandSpec::fixed(Tensor::scalar<int64_t>(-1))}},
                  {{},
                   {OperandSpec::of({2, 2}), OperandSpec::fixed(Tensor::scalar<int64_t>(100))}}},
  });
  return room;
}

}  // namespace espalier::ops
