// CumSum, ONNX opset 14: running sums along an axis, of all elements so far or (exclusive) of those
// before, from the front or (reverse) from the back.
#include "base/error.h"
#include "ops/common.h"
#include "ops/emit.h"

namespace espalier::ops {
namespace {

struct CumSum {
  bool exclusive = false;
  bool reverse = false;
};

Types infer(const CumSum&, const TypesIn& in) {
  if (in[0].dtype == DType::string || in[0].dtype == DType::boolean)
    in.fail("cannot sum " + to_string(in[0]), "a numeric type is needed");
  if ((in[1].dtype != DType::i64 && in[1].dtype != DType::i32) || in[1].rank() > 1)
    in.fail("the axis is " + to_string(in[1]) + ", an integer is needed");
  if (const Tensor* axis = in.constant(1)) {
    if (axis->size() != 1) in.fail("one axis is needed");
    axis_of(in, 0, axis->int_at(0));
  }
  return same_as_input(in);
}

template <class Real>
void reference(const CumSum& a, Ref<Real>& r) {
  const Shape& shape = r.shape(0);
  const auto axis = size_t(normal_axis(r.tensor(1).int_at(0), int64_t(shape.size()), "CumSum"));
  const int64_t extent = shape[axis], inner = product(shape, axis + 1, shape.size());
  const int64_t rows = extent == 0 ? 0 : numel(shape) / extent;
  const auto run = [&](auto x, auto y, auto zero) {
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t first = row / inner * inner * extent + row % inner;
      auto sum = zero;
      for (int64_t k = 0; k < extent; ++k) {
        const auto at = size_t(first + (a.reverse ? extent - 1 - k : k) * inner);
        const auto before = sum;
        sum += decltype(sum)(x[at]);
        y[at] = std::remove_cvref_t<decltype(y[at])>(a.exclusive ? before : sum);
      }
    }
  };
  if (r.is_real(0))
    run(r.real(0), r.out_real(0), double{});
  else
    run(r.ints(0), r.out_ints(0), int64_t{});
}

// Each element is in all sums after it: the sums run the other way.
Values gradient(const CumSum& a, Builder& b, const Tape& t) {
  return {b.one("CumSum", {t.dy(), t.x(1)},
                {{"exclusive", int64_t{a.exclusive}}, {"reverse", int64_t{!a.reverse}}}),
          kNoValue};
}

Cost cost(const CumSum&, const TypesIn& in, const Types& out) { return map_cost(1, in, out); }

// A zero changes no sum, but its own position still shows one.
AxisMap axes(const CumSum&, const TypesIn& in, const Types&) {
  AxisMap map = AxisMap::identity(in);
  const Tensor* axis = in.constant(1);
  for (AxisTie& tie : map.ties)
    if (!axis || tie.places[0].axis == axis_of(in, 0, axis->int_at(0))) {
      tie.zero_passes = false;
      tie.reads_whole = true;
    }
  return map;
}

void emit(const CumSum& a, CWriter& c) {
  const Shape shape = c.shape(0);
  const auto axis = size_t(normal_axis(c.list(1).at(0), int64_t(shape.size()), "CumSum"));
  const int64_t extent = shape[axis], inner = product(shape, axis + 1, shape.size());
  const DType wide = is_float(c.dtype(0)) ? c.dtype(0) : DType::i64;
  if (numel(shape) == 0) return;
  c.nest({numel(shape) / (extent * inner), inner}, {{0, {extent * inner, 1}}},
         [&](const std::vector<std::string>& first) {
           c.line(c_type(wide) + " sum = 0;");
           c.block(for_loop("k", extent), [&] {
             const std::string k =
                 a.reverse ? "(" + std::to_string(extent - 1) + " - k)" : std::string("k");
             c.line("const int at = " + plus(first[0], k + " * " + std::to_string(inner)) + ";");
             if (a.exclusive) c.line("const " + c_type(wide) + " before = sum;");
             c.line("sum += " + c.load(0, "at") + ";");
             c.store(0, "at", a.exclusive ? "before" : "sum");
           });
         });
}

}  // namespace

const Room& cum_sum() {
  static const Room room = make_room<CumSum>({
      .onnx = {"CumSum", 14},
      .arity = {2, 2},
      .attributes = {{"exclusive", &CumSum::exclusive}, {"reverse", &CumSum::reverse}},
      .infer = infer,
      .reference = ESP_REFERENCE(CumSum, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{},
                   {OperandSpec::of({2, 3, 2}), OperandSpec::fixed(Tensor::scalar<int64_t>(1))}},
                  {{true, false},
                   {OperandSpec::of({4}), OperandSpec::fixed(Tensor::scalar<int64_t>(0))}},
                  {{true, true},
                   {OperandSpec::of({2, 3}), OperandSpec::fixed(Tensor::scalar<int64_t>(-1))}},
                  {{},
                   {OperandSpec::ranged({3}, -9, 9, DType::i32),
                    OperandSpec::fixed(Tensor::scalar<int32_t>(0))}}},
  });
  return room;
}

}  // namespace espalier::ops
