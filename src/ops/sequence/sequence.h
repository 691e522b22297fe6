// What the operators on sequences and optionals share.
#pragma once

#include "base/error.h"
#include "ops/shape/move.h"

namespace espalier::ops {

/// The element type of operand i, which must be a sequence.
const Type& sequence_element(const TypesIn& in, size_t i);
/// Refuses an operand that is no single integer.
void require_position(const TypesIn& in, size_t i);
/// Operand i as a position among `count`; negative ones count from the back. UserError naming
/// `where` outside [-count, count).
template <class Real>
int64_t position_of(Ref<Real>& r, size_t i, int64_t count, const char* where) {
  const int64_t given = r.tensor(i).int_at(0), at = given < 0 ? given + count : given;
  if (at < 0 || at >= count)
    throw bad_input(where, "position " + std::to_string(given) + " lies outside " +
                               std::to_string(count) + " places");
  return at;
}

/// The type of a sequence of `element` with `item` added. UserError where one sequence cannot hold
/// both.
Type sequence_with(const TypesIn& in, const Type& element, const Type& item);

/// Tensors side by side along an axis, or one behind the other along a new one. UserError naming
/// `where` where they do not fit together.
Tensor concatenated(const std::vector<Datum>& items, int64_t axis, bool new_axis,
                    const std::string& where);
/// `count` positions from `first` along an axis.
Tensor part_of(const Tensor& tensor, int64_t axis, int64_t first, int64_t count);
/// The tensor without an axis of extent 1.
Tensor without_axis(const Tensor& tensor, int64_t axis);

inline Refuse no_gradient_of_sequences() {
  return Refuse{"gradients do not flow through sequences and optionals"};
}
template <class A>
Cost handles(const A&, const TypesIn& in, const Types& out) {
  return move_cost(in, out);
}
template <class A>
AxisMap ties_nothing(const A&, const TypesIn&, const Types&) {
  return {};
}

}  // namespace espalier::ops
