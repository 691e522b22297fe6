// Softplus, ONNX opset 1: y = ln(1 + e^x), without overflow.
#include "ops/unary.h"

namespace espalier::ops {
namespace {

template <class Real>
Real apply(Real x) {
  return std::max(x, Real(0)) + std::log1p(std::exp(-std::abs(x)));
}

// dx = dy sigmoid(x).
ValueId gradient(Builder& b, const Tape& t) { return b.mul(t.dy(), b.one("Sigmoid", {t.x(0)})); }

}  // namespace

const Room& softplus() {
  static const Room room = unary_room({
      .onnx = {"Softplus", 1},
      .apply = {apply, apply},
      .gradient = gradient,
      .flops = 20,
      .zero_passes = false,
      .pointwise = ScalarCode::kSoftplus,
      .quantizes = true,
      .lo = -4,
      .hi = 4,
  });
  return room;
}

}  // namespace espalier::ops
