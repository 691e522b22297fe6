// espalier.RefreshInverseRoot(root [n, n], moment [n, n], step []) -> root. At step 1 and every
// `every`-th the root becomes moment^-power of a symmetric moment, whose eigenvalues count as at
// least `floor` times the largest (Gupta et al. 2018, "Shampoo", arXiv:1802.09568); at other steps
// it stays.
#include "kernels/preconditioner.h"
#include "ops/optimiser/refresh.h"
#include "ops/optimiser/step.h"

namespace espalier::ops {
namespace {

struct RefreshInverseRoot {
  int64_t every = 10;
  float power = 0.25f;
  float floor = 1e-6f;
};

Types infer(const RefreshInverseRoot& a, const TypesIn& in) {
  if (!(a.power > 0) || !(a.floor > 0)) in.fail("power and floor must be above 0");
  return infer_square_refresh(in, a.every);
}

template <class Real>
void reference(const RefreshInverseRoot& a, Ref<Real>& r) {
  const int64_t step = step_number(r.tensor(2), "RefreshInverseRoot");
  kept_or_renewed(r, kernels::refreshes(step, a.every), [&](const auto& moment, auto& root) {
    kernels::inverse_root(r.shape(0)[0], moment, double(a.power), double(a.floor), root);
  });
}

/// Eigenvectors, about 9 n^3, and a product, shared among the steps between.
Cost cost(const RefreshInverseRoot& a, const TypesIn& in, const Types& out) {
  const double n = double(in[0].dims[0].value());
  return {0, 11 * n * n * n / double(a.every), traffic(in, out)};
}

AxisMap axes(const RefreshInverseRoot&, const TypesIn&, const Types&) { return no_axes(); }

}  // namespace

const Room& refresh_inverse_root() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  const auto step = [](int64_t n) { return OperandSpec::fixed(Tensor::scalar<int64_t>(n)); };
  const auto moment = [] {
    return OperandSpec::fixed(Tensor::from<float>({3, 3}, {4, 1, 0, 1, 3, 1, 0, 1, 2}));
  };
  static const Room room = make_room<RefreshInverseRoot>({
      .onnx = {"RefreshInverseRoot", 1, "espalier"},
      .arity = {3, 3},
      .attributes = {{"every", &RefreshInverseRoot::every},
                     {"power", &RefreshInverseRoot::power},
                     {"floor", &RefreshInverseRoot::floor}},
      .infer = infer,
      .reference = ESP_REFERENCE(RefreshInverseRoot, reference),
      .gradient = step_gradient(),
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = Refuse{"is not written in C yet"},
      .samples = {{{}, {x({3, 3}), moment(), step(1)}},
                  {{3, 0.5f, 0.01f}, {x({3, 3}), moment(), step(6)}},
                  {{3}, {x({3, 3}), moment(), step(7)}},
                  {{}, {x({0, 0}), x({0, 0}), step(1)}}},
  });
  return room;
}

}  // namespace espalier::ops
