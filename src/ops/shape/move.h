// What rooms share that move elements without looking at them.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "ir/c_writer.h"
#include "ops/common.h"

namespace espalier::ops {

/// One side of a block copy: where its first element is, and the step along each axis, in elements.
using Strided = CWalk;

/// Copies the block of that many elements along each axis, of any element type. Both sides must lie
/// inside their tensors, which have the same element type.
void copy_block(const Tensor& from, const Strided& source, Tensor& to, const Strided& target,
                std::span<const int64_t> extents);

/// Copies single elements by index, of any element type.
class ElementCopier {
 public:
  ElementCopier(const Tensor& from, Tensor& to);
  /// to[target], … = from[source], … for `count` consecutive elements.
  void operator()(int64_t target, int64_t source, int64_t count = 1) const;

 private:
  const void* from_;
  void* to_;
  size_t size_;
  bool strings_;
};

/// Refuses an operand that is no i64 or i32 tensor.
void require_index_type(const TypesIn& in, size_t i);
/// An index in [-extent, extent) as a position. UserError naming `where` otherwise.
int64_t checked_index(int64_t index, int64_t extent, const char* where);
/// A list of extents as dimensions. UserError for negative ones.
Dims checked_extents(const TypesIn& in, std::span<const int64_t> extents);

/// Ties axis `first` of operand 0 to axis `second` of result 0, where extents are known.
AxisMap moved_axes(const TypesIn& in, std::span<const std::pair<int64_t, int64_t>> axes);

/// The ties of a tensor of shape `from` read as shape `to`. Runs of axes with equal products
/// correspond. Within a run that is one axis on one side, each axis of the other side ties to its
/// blocks there: [C,H,W] -> [C*H*W] ties C with inner = H*W.
AxisMap reshaped_axes(const TensorType& from, const TensorType& to);

/// Integer form of operators that move elements of operand 0.
template <class A>
QuantForm moves_quantized(const A&, const TypesIn&) {
  return {.activations = {0}, .result = QuantForm::Result::kSameAsInput};
}
/// Cost of operators that copy what they move.
template <class A>
Cost moves(const A&, const TypesIn& in, const Types& out) {
  return move_cost(in, out);
}
/// Cost of operators that give the same elements another shape.
template <class A>
Cost moves_nothing(const A&, const TypesIn&, const Types&) {
  return {};
}

}  // namespace espalier::ops
