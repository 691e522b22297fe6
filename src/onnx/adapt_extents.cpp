#include "onnx/adapt_extents.h"

#include <algorithm>
#include <numeric>

#include "ir/room.h"

namespace espalier {

int64_t known_extent(Call& c, const TensorType& t, int64_t axis, const char* what) {
  const int64_t at = axis < 0 ? axis + t.rank() : axis;
  if (at < 0 || at >= t.rank())
    c.malformed(std::string(what) + " of " + to_string(t) + " is needed");
  const Dim& d = t.dims[size_t(at)];
  if (!d.known()) c.refuse(std::string(what) + " of " + to_string(t) + " must be known");
  // So that sums and products of a few extents and numbers of heads do not overflow.
  if (d.value() > int64_t{1} << 40)
    c.malformed(std::string(what) + " of " + to_string(t) + " is out of reach");
  return d.value();
}

void require_rank(const Call& c, size_t i, int64_t rank) {
  if (c.type(i).rank() != rank)
    c.malformed("operand " + std::to_string(i) + " is " + to_string(c.type(i)) + ", rank " +
                std::to_string(rank) + " is needed");
}

ValueId extent_list(Builder& b, ValueId v, int64_t axis) {
  const TensorType& t = b.type(v);
  const int64_t at = axis < 0 ? axis + t.rank() : axis;
  if (const Dim& d = t.dims[size_t(at)]; d.known()) return b.ints({d.value()});
  return b.one("Shape", {v}, {{"start", at}, {"end", at + 1}});
}

ValueId extent(Builder& b, ValueId v, int64_t axis) {
  const ValueId list = extent_list(b, v, axis);
  if (const auto& known = b.graph().value(list).constant) return b.constant(known->reshaped({}));
  return b.one("Squeeze", {list, b.ints({0})});
}

ValueId counted(Builder& b, ValueId count) {
  constexpr int64_t kMost = 1 << 20;  // longer lists are counted while the network runs
  const auto number = [&](int64_t n) { return b.constant(Tensor::scalar(n)); };
  if (const auto& known = b.graph().value(count).constant; known && known->int_at(0) <= kMost) {
    std::vector<int64_t> list(size_t(std::max<int64_t>(0, known->int_at(0))));
    std::iota(list.begin(), list.end(), int64_t{0});
    return b.ints(list);
  }
  return b.one("Range", {number(0), count, number(1)});
}

}  // namespace espalier
