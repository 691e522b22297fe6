#include "ops/arithmetic/extremum.h"

#include "ops/arithmetic/integers.h"
#include "ops/emit.h"

namespace espalier::ops {
namespace {

using None = NoAttributes;

/// Folds operand `x` into y with `better(candidate, y so far)`.
template <class X, class Y, class Better>
void take_better(X x, std::span<const int64_t> from, Y y, const Shape& to, Better better) {
  for_each_offset<1>(to, {broadcast_strides(from, to)},
                     [&](int64_t i, const std::array<int64_t, 1>& o) {
                       const auto candidate = x[size_t(o[0])];
                       if (better(candidate, y[size_t(i)])) y[size_t(i)] = candidate;
                     });
}

template <class Real>
void run(bool maximum, Ref<Real>& r) {
  const auto fold = [&](auto operand, auto y, auto better) {
    for (size_t i = 0; i < r.inputs(); ++i) {
      const auto first = [](auto, auto) { return true; };
      if (i == 0)
        take_better(operand(i), r.shape(i), y, r.out_shape(0), first);
      else
        take_better(operand(i), r.shape(i), y, r.out_shape(0), better);
    }
  };
  if (r.is_real(0)) {
    // NaN wins.
    fold([&](size_t i) { return r.real(i); }, r.out_real(0),
         [&](Real a, Real b) { return a != a || (maximum ? a > b : a < b); });
  } else {
    const bool is_unsigned = is_unsigned_int(r.dtype(0));
    fold([&](size_t i) { return r.ints(i); }, r.out_ints(0),
         [&](int64_t a, int64_t b) {
           const int64_t x = order_key(a, is_unsigned), y = order_key(b, is_unsigned);
           return maximum ? x > y : x < y;
         });
  }
}

// With m_k the extremum of operands 0 to k, dy goes to operand k where it beats m_{k-1}, else on to
// the operands before it: of equals the first takes it all.
Values gradient(const OpName& op, bool maximum, Builder& b, const Tape& t) {
  std::vector<ValueId> best = {t.x(0)};
  for (size_t k = 1; k + 1 < t.inputs(); ++k) best.push_back(b.one(op.name, {best.back(), t.x(k)}));
  Values d(t.inputs(), kNoValue);
  ValueId rest = t.dy();
  const ValueId zero = b.scalar(0, t.dy());
  for (size_t k = t.inputs(); k-- > 1;) {
    const ValueId beats = maximum ? b.greater(t.x(k), best[k - 1]) : b.less(t.x(k), best[k - 1]);
    if (t.wants(k)) d[k] = b.unbroadcast(b.where(beats, rest, zero), t.x(k));
    rest = b.where(beats, zero, rest);
  }
  if (t.wants(0)) d[0] = b.unbroadcast(rest, t.x(0));
  return d;
}

// Two at a time.
void emit(bool maximum, CWriter& c) {
  const ScalarOp op{maximum ? ScalarCode::kMax : ScalarCode::kMin};
  std::string best = "x0";
  for (size_t k = 1; k < c.inputs(); ++k) {
    const auto next = c_expression(op, c.dtype(0), "(" + best + ")", "x" + std::to_string(k));
    if (!next) c.refuse("has no C form for " + std::string(name_of(c.dtype(0))));
    best = *next;
  }
  c.map(best);
}

}  // namespace

Room extremum_room(OpName onnx, bool maximum) {
  using Spec = OperandSpec;
  return make_room<None>({
      .onnx = onnx,
      .arity = {1, kVariadic},
      .infer = [](const None&, const TypesIn& in) { return arithmetic_type(in); },
      .reference = ReferenceOf<None>{[maximum](const None&, Ref<float>& r) { run(maximum, r); },
                                     [maximum](const None&, Ref<double>& r) { run(maximum, r); }},
      .gradient = [onnx, maximum](const None&, Builder& b,
                                  const Tape& t) { return gradient(onnx, maximum, b, t); },
      .cost = [](const None&, const TypesIn& in,
                 const Types& out) { return map_cost(double(in.size()) - 1, in, out); },
      .axes =
          [](const None&, const TypesIn& in, const Types& out) {
            return AxisMap::broadcast(in, out[0].tensor(), AxisMap::Zero::kIfAll);
          },
      .quantize = Refuse{"its operands would need one scale"},
      .pointwise = [maximum](const None&, const TypesIn& in) -> std::optional<ScalarOp> {
        if (in.size() == 1) return ScalarOp{ScalarCode::kIdentity};
        if (in.size() > 2) return std::nullopt;
        return ScalarOp{maximum ? ScalarCode::kMax : ScalarCode::kMin};
      },
      .expand = no_expand(),
      .emit = [maximum](const None&, CWriter& c) { emit(maximum, c); },
      .samples = {{{}, {Spec::of({2, 3}), Spec::of({2, 3})}},
                  {{}, {Spec::of({2, 1, 4}), Spec::of({3, 1}), Spec::of({})}},
                  {{}, {Spec::of({3})}},
                  {{}, {Spec::of({0, 3}), Spec::of({3})}},
                  {{},
                   {Spec::ranged({6}, -9, 9, DType::i16), Spec::ranged({6}, -9, 9, DType::i16),
                    Spec::ranged({1}, -2, 2, DType::i16)}}},
  });
}

}  // namespace espalier::ops
