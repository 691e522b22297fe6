// espalier.RefreshSubspace(subspace [n, k], gradient [r, c], step []) -> subspace. At the first of
// every `every` steps the k orthonormal directions become the leading left singular vectors of the
// gradient (n = r; with `right` its right ones, n = c), as GaLore projects (Zhao et al. 2024,
// arXiv:2403.03507), or with `random` are drawn by (seed, period); at other steps they stay.
#include "kernels/preconditioner.h"
#include "ops/optimiser/refresh.h"
#include "ops/optimiser/step.h"

namespace espalier::ops {
namespace {

struct RefreshSubspace {
  int64_t every = 200;
  bool right = false;
  bool random = false;
  int64_t seed = 0;
};

Types infer(const RefreshSubspace& a, const TypesIn& in) {
  require_float(in, 0);
  require_rank(in, 0, 2);
  require_rank(in, 1, 2);
  const Dims &space = in[0].dims, &gradient = in[1].dims;
  if (in[1].dtype != in[0].dtype || space[0] != gradient[a.right ? 1 : 0])
    in.fail(to_string(in[0]) + " holds no directions of the " + (a.right ? "rows" : "columns") +
            " of " + to_string(in[1]));
  if (space[0].known() && space[1].known() && space[1].value() > space[0].value())
    in.fail(to_string(in[0]) + " has more directions than they have elements");
  require_step(in, 2, a.every);
  return {in[0]};
}

template <class Real>
void reference(const RefreshSubspace& a, Ref<Real>& r) {
  const int64_t step = step_number(r.tensor(2), "RefreshSubspace");
  const Shape space = r.shape(0), shape = r.shape(1);
  kept_or_renewed(r, kernels::begins_period(step, a.every), [&](const auto& gradient, auto& to) {
    if (a.random)
      kernels::random_directions(space[0], space[1], uint64_t(a.seed),
                                 uint64_t((step - 1) / a.every), to);
    else
      kernels::leading_directions(shape[0], shape[1], a.right, space[1], gradient, to);
  });
}

/// A square and its eigenvectors, shared among the steps between.
Cost cost(const RefreshSubspace& a, const TypesIn& in, const Types& out) {
  const double n = double(in[0].dims[0].value());
  return {0, (2 * n * double(in[1].numel()) + 9 * n * n * n) / double(a.every), traffic(in, out)};
}

AxisMap axes(const RefreshSubspace&, const TypesIn&, const Types&) { return no_axes(); }

}  // namespace

const Room& refresh_subspace() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  const auto step = [](int64_t n) { return OperandSpec::fixed(Tensor::scalar<int64_t>(n)); };
  static const Room room = make_room<RefreshSubspace>({
      .onnx = {"RefreshSubspace", 1, "espalier"},
      .arity = {3, 3},
      .attributes = {{"every", &RefreshSubspace::every},
                     {"right", &RefreshSubspace::right},
                     {"random", &RefreshSubspace::random},
                     {"seed", &RefreshSubspace::seed}},
      .infer = infer,
      .reference = ESP_REFERENCE(RefreshSubspace, reference),
      .gradient = step_gradient(),
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = Refuse{"is not written in C yet"},
      .samples = {{{3}, {x({3, 2}), x({3, 5}), step(4)}},
                  {{3}, {x({3, 2}), x({3, 5}), step(5)}},
                  {{3, true}, {x({3, 1}), x({4, 3}), step(1)}},
                  {{2, false, true, 7}, {x({4, 3}), x({4, 5}), step(3)}},
                  {{}, {x({3, 0}), x({3, 5}), step(1)}}},
  });
  return room;
}

}  // namespace espalier::ops
