// What optimisers renew now and then: bases, roots and subspaces, in place on the state they renew,
// and turns. Steps that renew nothing cost no more than a copy, and none in place.
#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "bind/attribute_reader.h"
#include "bind/families.h"
#include "kernels/preconditioner.h"

namespace espalier::bind {
namespace {

using Doubles = std::vector<double>;

int64_t step_of(const KernelArgs& k, size_t slot, const std::string& where) {
  const int64_t step = k.read<int64_t>(slot)[0];
  if (step < 1) throw bad_input(where, "step is " + std::to_string(step) + ", below 1");
  return step;
}

/// A kernel of (matrix, source, step): `due` says at which steps the matrix becomes what `renew`
/// makes of source and matrix.
template <class Due, class Renew>
Bound renewing(const BindRequest& r, const char* name, Due due, Renew renew) {
  for (size_t i = 0; i < 2; ++i)
    if (r.in_dtype(i) != DType::f32)
      return Refuse{"operand " + std::to_string(i) + " is " + std::string(name_of(r.in_dtype(i)))};
  auto kernel = function_kernel(name, [=, n = r.in[0].numel(), m = r.in[1].numel(),
                                       where = r.in.where()](const KernelArgs& k) {
    const int64_t step = step_of(k, 2, where);
    const float* kept = k.read<float>(0);
    float* result = k.write<float>(0);
    if (!due(step)) {
      if (result != kept) std::memcpy(result, kept, size_t(n) * sizeof(float));
      return;
    }
    Doubles matrix(kept, kept + n);
    renew(Doubles(k.read<float>(1), k.read<float>(1) + m), matrix, step);
    std::ranges::transform(matrix, result, [](double v) { return float(v); });
  });
  kernel->in_place = {{0, 0}};
  return kernel;
}

Bound bind_eigenbasis(const BindRequest& r) {
  const int64_t every = AttributeReader(*r.room, r.attrs).integer("every", 1);
  return renewing(
      r, "eigenbasis", [every](int64_t step) { return kernels::refreshes(step, every); },
      [n = r.in_shape(0)[0]](const Doubles& moment, Doubles& basis, int64_t) {
        kernels::follow_eigenbasis(n, moment, basis);
      });
}

Bound bind_inverse_root(const BindRequest& r) {
  const AttributeReader a(*r.room, r.attrs);
  const int64_t every = a.integer("every", 1);
  const double power = double(a.get<float>("power", 0.25f));
  const double floor = double(a.get<float>("floor", 1e-6f));
  return renewing(
      r, "inverse_root", [every](int64_t step) { return kernels::refreshes(step, every); },
      [n = r.in_shape(0)[0], power, floor](const Doubles& moment, Doubles& root, int64_t) {
        kernels::inverse_root(n, moment, power, floor, root);
      });
}

Bound bind_subspace(const BindRequest& r) {
  const AttributeReader a(*r.room, r.attrs);
  const int64_t every = a.integer("every", 1);
  const bool right = a.integer("right", 0) != 0, random = a.integer("random", 0) != 0;
  const auto seed = uint64_t(a.integer("seed", 0));
  const Shape space = r.in_shape(0), shape = r.in_shape(1);
  return renewing(
      r, "subspace", [every](int64_t step) { return kernels::begins_period(step, every); },
      [=](const Doubles& gradient, Doubles& to, int64_t step) {
        if (random)
          kernels::random_directions(space[0], space[1], seed, uint64_t((step - 1) / every), to);
        else
          kernels::leading_directions(shape[0], shape[1], right, space[1], gradient, to);
      });
}

Bound bind_turns(const BindRequest& r) {
  const AttributeReader a(*r.room, r.attrs);
  const int64_t of = a.integer("of", 1), count = a.integer("count", 1);
  const int64_t every = a.integer("every", 1);
  const auto seed = uint64_t(a.integer("seed", 0));
  return function_kernel("turns", [=, where = r.in.where()](const KernelArgs& k) {
    const int64_t period = (step_of(k, 0, where) - 1) / every;
    std::ranges::copy(kernels::turn(of, count, seed, period), k.write<int64_t>(0));
  });
}

}  // namespace

Entries optimiser_basis_entries() {
  return {{"espalier.RefreshEigenbasis", {"eigenbasis", bind_eigenbasis}},
          {"espalier.RefreshInverseRoot", {"inverse_root", bind_inverse_root}},
          {"espalier.RefreshSubspace", {"subspace", bind_subspace}},
          {"espalier.TakeTurns", {"turns", bind_turns}}};
}

}  // namespace espalier::bind
