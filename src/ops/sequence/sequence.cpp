#include "ops/sequence/sequence.h"

namespace espalier::ops {

const Type& sequence_element(const TypesIn& in, size_t i) {
  const Type& type = in.type(i);
  if (!type.is_sequence())
    in.fail("operand " + std::to_string(i) + " is " + to_string(type) + ", a sequence is needed");
  return type.element();
}

void require_position(const TypesIn& in, size_t i) {
  if ((in[i].dtype != DType::i64 && in[i].dtype != DType::i32) ||
      (in[i].is_static() && in[i].numel() != 1))
    in.fail("the position is " + to_string(in[i]) + ", one integer is needed");
}

Type sequence_with(const TypesIn& in, const Type& element, const Type& item) {
  if (!element_type_of(item)) in.fail("a sequence cannot hold " + to_string(item));
  const auto both = joined(element, item);
  if (!both)
    in.fail("one sequence cannot hold " + to_string(element) + " and " + to_string(item),
            "items have the same element type; insert a Cast");
  return sequence_of(*both);
}

Tensor concatenated(const std::vector<Datum>& items, int64_t axis, bool new_axis,
                    const std::string& where) {
  if (items.empty()) throw bad_input(where, "there is nothing to put together: no items");
  const Tensor& first = items[0].tensor();
  const int64_t rank = first.rank() + (new_axis ? 1 : 0);
  const auto at = size_t(normal_axis(axis, rank, where));
  const auto widened = [&](const Tensor& t) {
    Shape shape = t.shape();
    if (new_axis) shape.insert(shape.begin() + int64_t(at), 1);
    return shape;
  };
  Shape whole = widened(first);
  whole[at] = 0;
  for (const Datum& item : items) {
    Shape shape = widened(item.tensor());
    const int64_t extent = shape.size() > at ? shape[at] : 0;
    if (shape.size() > at) shape[at] = whole[at];
    if (shape != whole || item.tensor().dtype() != first.dtype())
      throw bad_input(where, "items of " + to_string(items[0].type()) + " and " +
                                 to_string(item.type()) + " do not fit together along axis " +
                                 std::to_string(axis));
    whole[at] += extent;
  }
  Tensor result(first.dtype(), whole);
  const auto strides = strides_of(whole);
  int64_t offset = 0;
  for (const Datum& item : items) {
    const Shape shape = widened(item.tensor());
    copy_block(item.tensor(), {0, strides_of(shape)}, result, {offset, strides}, shape);
    offset += shape[at] * strides[at];
  }
  return result;
}

Tensor part_of(const Tensor& tensor, int64_t axis, int64_t first, int64_t count) {
  Shape shape = tensor.shape();
  const auto strides = strides_of(shape);
  shape[size_t(axis)] = count;
  Tensor part(tensor.dtype(), shape);
  copy_block(tensor, {first * strides[size_t(axis)], strides}, part, {0, strides_of(shape)}, shape);
  return part;
}

Tensor without_axis(const Tensor& tensor, int64_t axis) {
  Shape shape = tensor.shape();
  shape.erase(shape.begin() + axis);
  return tensor.reshaped(std::move(shape));
}

}  // namespace espalier::ops
