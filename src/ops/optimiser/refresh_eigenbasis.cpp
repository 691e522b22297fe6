// espalier.RefreshEigenbasis(basis [n, n], moment [n, n], step []) -> basis. At step 1 and every
// `every`-th the orthonormal basis follows the eigenvectors of a symmetric moment by one step of
// the power method with QR (Vyas et al. 2024, "SOAP", arXiv:2409.11321, algorithm 4); at other
// steps it stays. A basis of zeros is found anew, its columns by falling eigenvalue.
#include "kernels/preconditioner.h"
#include "ops/optimiser/refresh.h"
#include "ops/optimiser/step.h"

namespace espalier::ops {
namespace {

struct RefreshEigenbasis {
  int64_t every = 10;
};

Types infer(const RefreshEigenbasis& a, const TypesIn& in) {
  return infer_square_refresh(in, a.every);
}

template <class Real>
void reference(const RefreshEigenbasis& a, Ref<Real>& r) {
  const int64_t step = step_number(r.tensor(2), "RefreshEigenbasis");
  kept_or_renewed(r, kernels::refreshes(step, a.every), [&](const auto& moment, auto& basis) {
    kernels::follow_eigenbasis(r.shape(0)[0], moment, basis);
  });
}

/// A product and a QR with its Q, 2 n^3 + 8/3 n^3, shared among the steps between.
Cost cost(const RefreshEigenbasis& a, const TypesIn& in, const Types& out) {
  const double n = double(in[0].dims[0].value());
  return {0, 14.0 / 3 * n * n * n / double(a.every), traffic(in, out)};
}

AxisMap axes(const RefreshEigenbasis&, const TypesIn&, const Types&) { return no_axes(); }

}  // namespace

const Room& refresh_eigenbasis() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  const auto step = [](int64_t n) { return OperandSpec::fixed(Tensor::scalar<int64_t>(n)); };
  static const Room room = make_room<RefreshEigenbasis>({
      .onnx = {"RefreshEigenbasis", 1, "espalier"},
      .arity = {3, 3},
      .attributes = {{"every", &RefreshEigenbasis::every}},
      .infer = infer,
      .reference = ESP_REFERENCE(RefreshEigenbasis, reference),
      .gradient = step_gradient(),
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = Refuse{"is not written in C yet"},
      .samples = {{{2}, {x({3, 3}), x({3, 3}), step(4)}},
                  {{2}, {x({3, 3}), x({3, 3}), step(5)}},
                  {{}, {OperandSpec::ranged({4, 4}, 0, 0), x({4, 4}), step(1)}},
                  {{}, {x({0, 0}), x({0, 0}), step(1)}}},
  });
  return room;
}

}  // namespace espalier::ops
