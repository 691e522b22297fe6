// What operators share that draw random numbers. Draws are a function of the attribute `seed`, of a
// random key (i64[2], our extension: a last operand) and of the element's index: equal seeds and
// keys draw equal numbers, in every run and whatever the number of threads. A training graph
// attaches a key to each such node, a new one for each step; without a key, every run draws the
// same. ONNX leaves the seed optional; here each node has one (import invents it), so that what it
// draws never changes.
#pragma once

#include "base/rng.h"
#include "ops/common.h"

namespace espalier::ops {

/// Refuses a key of another type.
void require_key(const TypesIn& in, size_t slot);
/// The generator of a node.
Rng generator(float seed, const Tensor* key);

template <class Real>
Rng generator(float seed, const Ref<Real>& r, size_t key_slot) {
  return generator(seed, r.has(key_slot) ? &r.tensor(key_slot) : nullptr);
}

/// The element type of what is drawn: the attribute's, or `otherwise`. Refuses types that are no
/// float.
DType drawn_type(const TypesIn& in, std::optional<DType> dtype, DType otherwise);

/// Writes draw(i) to every element of result 0, a float tensor.
template <class Real, class Draw>
void fill_with(Ref<Real>& r, Draw draw) {
  const auto y = r.out_real(0);
  for (size_t i = 0; i < y.size(); ++i) y[i] = Real(draw(uint64_t(i)));
}

/// Draws belong to positions, so nothing may be cut.
template <class A>
AxisMap axes_of_draws(const A&, const TypesIn&, const Types&) {
  return {};
}

/// One distribution of independent elements. Its two parameters are attributes, 0 and 1 by default.
struct Distribution {
  const char *first, *second;
  double (*draw)(const Rng& rng, uint64_t i, double first, double second);
  bool below_second;  ///< draws stay below the second parameter
};
extern const Distribution kNormal;   ///< mean and scale (the standard deviation)
extern const Distribution kUniform;  ///< in [low, high)

/// Rooms that draw from a distribution a tensor of the attribute `shape`, or of an operand's.
Room shaped_draw(OpName onnx, const Distribution& d);
Room like_draw(OpName onnx, const Distribution& d);

}  // namespace espalier::ops
