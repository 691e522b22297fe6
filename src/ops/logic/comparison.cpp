#include "ops/logic/comparison.h"

#include "ops/arithmetic/integers.h"

namespace espalier::ops {
namespace {

Types infer(const ComparisonOp& op, const TypesIn& in) {
  const DType type = in[0].dtype;
  if (!(op.takes_bool && type == DType::boolean) && !(op.strings && type == DType::string))
    require_numeric(in, 0, 2);
  require_same_dtype(in, 0, 2);
  return {TensorType(DType::boolean, broadcast_dims(in))};
}

template <class Real>
void run_strings(const ComparisonOp& op, Ref<Real>& r) {
  const auto a = r.tensor(0).template span<std::string>();
  const auto b = r.tensor(1).template span<std::string>();
  const auto y = r.out_ints(0);
  for_each_offset<2>(r.out_shape(0),
                     {broadcast_strides(r.shape(0), r.out_shape(0)),
                      broadcast_strides(r.shape(1), r.out_shape(0))},
                     [&](int64_t i, const std::array<int64_t, 2>& o) {
                       y[size_t(i)] = op.strings(a[size_t(o[0])], b[size_t(o[1])]);
                     });
}

template <class Real>
void run(const ComparisonOp& op, Ref<Real>& r) {
  if (r.dtype(0) == DType::string) return run_strings(op, r);
  const bool is_unsigned = is_unsigned_int(r.dtype(0));
  binary_loop(r, [&](auto a, auto b) -> int64_t {
    if constexpr (std::is_same_v<decltype(a), int64_t>)
      return op.integers(order_key(a, is_unsigned), order_key(b, is_unsigned));
    else
      return op.reals(double(a), double(b));
  });
}

}  // namespace

Room comparison_room(ComparisonOp op) {
  using None = NoAttributes;
  using Spec = OperandSpec;
  const auto integers = [](Shape shape) {
    return Spec::ranged(std::move(shape), -2, 2, DType::i64);
  };
  std::vector<SampleOf<None>> samples = {{{}, {Spec::of({2, 3}), Spec::of({2, 3})}},
                                         {{}, {Spec::of({2, 1, 4}), Spec::of({3, 1})}},
                                         {{}, {Spec::of({0, 3}), Spec::of({})}},
                                         {{}, {integers({9}), integers({9})}},
                                         {{}, {integers({4, 1}), integers({3})}}};
  if (op.strings)
    samples.push_back({{},
                       {Spec::fixed(Tensor::from<std::string>({2, 1}, {"one", ""})),
                        Spec::fixed(Tensor::from<std::string>({3}, {"two", "one", ""}))}});
  return make_room<None>({
      .onnx = op.onnx,
      .arity = {2, 2},
      .infer = [op](const None&, const TypesIn& in) { return infer(op, in); },
      .reference = ReferenceOf<None>{[op](const None&, Ref<float>& r) { run(op, r); },
                                     [op](const None&, Ref<double>& r) { run(op, r); }},
      .gradient = not_differentiable(),
      .cost = [](const None&, const TypesIn& in, const Types& out) { return map_cost(1, in, out); },
      .axes =
          [op](const None&, const TypesIn& in, const Types& out) {
            return AxisMap::broadcast(
                in, out[0].tensor(),
                op.zero_passes ? AxisMap::Zero::kIfAll : AxisMap::Zero::kNever);
          },
      .quantize = Refuse{"its result is boolean"},
      .pointwise = [op](const None&, const TypesIn& in) -> std::optional<ScalarOp> {
        if (in[0].dtype == DType::string) return std::nullopt;
        return ScalarOp{op.code};
      },
      .expand = no_expand(),
      .emit = Derive{},
      .samples = samples,
  });
}

}  // namespace espalier::ops
