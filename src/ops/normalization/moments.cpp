#include "ops/normalization/moments.h"

namespace espalier::ops {

Centred centred(Builder& b, ValueId x, const std::vector<int64_t>& axes) {
  const ValueId off = b.sub(x, b.reduce_mean(x, axes));
  return {off, b.reduce_mean(b.mul(off, off), axes)};
}

ValueId standardised(Builder& b, ValueId x, const std::vector<int64_t>& axes, float epsilon) {
  const Centred c = centred(b, x, axes);
  return b.div(c.x, b.sqrt(b.add(c.var, double(epsilon))));
}

ValueId scaled_by_channel(Builder& b, ValueId x, ValueId scale, ValueId bias) {
  std::vector<int64_t> along(size_t(b.type(x).rank()) - 1, 1);
  // [C, 1, ...] broadcasts over the batch; where the scale's own extent is open, x says C.
  const Dim& channels = b.type(x).dims[1];
  along[0] = channels.known() ? channels.value() : -1;
  return b.add(b.mul(x, b.reshape(scale, along)), b.reshape(bias, along));
}

void require_channel_scales(const TypesIn& in, float epsilon, int64_t least_rank,
                            const char* hint) {
  require_float(in, 0);
  require_same_dtype(in, 0, 3);
  if (in[0].rank() < least_rank) in.fail("operand 0 is " + to_string(in[0]), hint);
  if (!(epsilon >= 0)) in.fail("epsilon is " + std::to_string(epsilon));
  const Dim& channels = in[0].dims[1];
  for (size_t i = 1; i < 3; ++i) {
    require_rank(in, i, 1);
    const Dim& own = in[i].dims[0];
    if (own.known() && channels.known() && !(own == channels))
      in.fail("operand " + std::to_string(i) + " is " + to_string(in[i]) + " for " +
              to_string(channels) + " channels");
  }
}

}  // namespace espalier::ops
