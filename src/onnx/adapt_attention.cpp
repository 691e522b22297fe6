#include "onnx/adapt_attention.h"

#include <cmath>
#include <limits>

#include "ir/room.h"

namespace espalier {
namespace {

/// So that numbers of heads multiply without overflow.
constexpr int64_t kMostHeads = int64_t{1} << 20;

}  // namespace

AttentionForm take_attention_form(Call& c) {
  AttentionForm f;
  f.heads = c.take_int("num_heads").value_or(0);
  f.filter = c.take_float("mask_filter_value").value_or(-10000.0f);
  f.scale = c.take_float("scale");
  f.causal = c.take_int("unidirectional").value_or(0) != 0;
  if (f.scale && *f.scale == 0) f.scale.reset();
  if (f.heads < 1 || f.heads > kMostHeads) c.malformed("num_heads is " + std::to_string(f.heads));
  return f;
}

ValueId in_heads(Call& c, ValueId v, int64_t heads) {
  const int64_t hidden = known_extent(c, c.b.type(v), -1, "the hidden size");
  if (hidden % heads != 0)
    c.malformed(std::to_string(heads) + " heads do not divide " + std::to_string(hidden));
  return c.b.reshape(v, {0, 0, heads, hidden / heads});
}

ValueId heads_first(Call& c, ValueId v) { return c.b.transpose(v, {0, 2, 1, 3}); }

ValueId attention_scores(Call& c, ValueId q, ValueId k, const AttentionForm& form) {
  const double size = double(known_extent(c, c.b.type(q), -1, "the head size"));
  const double scale = form.scale ? double(*form.scale) : 1 / std::sqrt(size);
  return c.b.mul(c.b.matmul(q, c.b.transpose(k, {0, 1, 3, 2})), scale);
}

ValueId attention_result(Call& c, ValueId scores, ValueId v) {
  Builder& b = c.b;
  const ValueId share = b.one("Softmax", {scores}, {{"axis", int64_t{-1}}}, c.name);
  const ValueId heads = heads_first(c, b.matmul(share, v));
  const TensorType type = b.type(heads);
  return b.reshape(heads, {0, 0,
                           known_extent(c, type, 2, "the number of heads") *
                               known_extent(c, type, 3, "the head size")});
}

ValueId filtered(Builder& b, ValueId keep, double filter, ValueId like) {
  return b.where(keep, b.scalar(0, like), b.scalar(filter, like));
}

double never(DType type) {
  return type == DType::f16 ? -65504.0 : double(std::numeric_limits<float>::lowest());
}

ValueId rotated(Call& c, ValueId v, ValueId cosine, ValueId sine, int64_t turned, bool neighbours) {
  Builder& b = c.b;
  const int64_t size = known_extent(c, b.type(v), 3, "the head size");
  if (turned < 2 || turned > size)
    c.malformed("turns " + std::to_string(turned) + " of " + std::to_string(size) + " numbers");
  const AttributeMap last = {{"axis", int64_t{3}}};
  Values parts = {v};
  if (turned < size) parts = b.op("Split", {v, b.ints({turned, size - turned})}, last);
  Values pair;
  if (neighbours) {
    const ValueId pairs = b.reshape(parts[0], {0, 0, 0, turned / 2, 2});
    for (ValueId half : b.op("Split", {pairs, b.ints({1, 1})}, {{"axis", int64_t{4}}}))
      pair.push_back(b.one("Squeeze", {half, b.ints({4})}));
  } else {
    pair = b.op("Split", {parts[0], b.ints({turned / 2, turned / 2})}, last);
  }
  Values after = {b.sub(b.mul(pair[0], cosine), b.mul(pair[1], sine)),
                  b.add(b.mul(pair[1], cosine), b.mul(pair[0], sine))};
  ValueId y = kNoValue;
  if (neighbours) {
    for (ValueId& half : after) half = b.one("Unsqueeze", {half, b.ints({4})});
    y = b.reshape(b.one("Concat", after, {{"axis", int64_t{4}}}), {0, 0, 0, turned});
  } else {
    y = b.one("Concat", after, last);
  }
  return turned < size ? b.one("Concat", {y, parts[1]}, last) : y;
}

}  // namespace espalier
