// espalier.Silu: y = x sigmoid(x) (Elfwing et al., arXiv 1702.03118; also called Swish).
#include "ops/unary.h"

namespace espalier::ops {
namespace {

template <class Real>
Real apply(Real x) {
  const Real e = std::exp(-std::abs(x));
  return x * (x < 0 ? e : Real(1)) / (1 + e);
}

// dx = dy (s + y (1 - s)) with s = sigmoid(x).
ValueId gradient(Builder& b, const Tape& t) {
  const ValueId x = t.x(0), s = b.one("Sigmoid", {x});
  return b.mul(t.dy(), b.add(s, b.mul(t.y(0), b.sub(b.scalar(1, x), s))));
}

}  // namespace

const Room& silu() {
  static const Room room = unary_room({
      .onnx = {"Silu", 1, "espalier"},
      .apply = {apply, apply},
      .gradient = gradient,
      .flops = 14,
      .pointwise = ScalarCode::kSilu,
      .quantizes = true,
      .lo = -4,
      .hi = 4,
  });
  return room;
}

}  // namespace espalier::ops
