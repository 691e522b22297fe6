#include "ops/reduction/lp.h"

namespace espalier::ops {

ValueId power_of_magnitude(Builder& b, ValueId x, int64_t p) {
  if (p == 1) return b.one("Abs", {x});
  if (p == 2) return b.mul(x, x);
  const ValueId magnitude = p % 2 == 0 ? x : b.one("Abs", {x});
  return b.one("Pow", {magnitude, b.scalar(double(p), x)});
}

ValueId root(Builder& b, ValueId sum, int64_t p) {
  if (p == 1) return sum;
  const ValueId zero = b.scalar(0, sum), none = b.one("LessOrEqual", {sum, zero});
  const ValueId safe = b.where(none, b.scalar(1, sum), sum);
  const ValueId result = p == 2 ? b.sqrt(safe) : b.one("Pow", {safe, b.scalar(1 / double(p), sum)});
  return b.where(none, zero, result);
}

ValueId lp_norm(Builder& b, ValueId v, int64_t p, std::vector<int64_t> axes) {
  return root(b, b.reduce_sum(power_of_magnitude(b, v, p), std::move(axes)), p);
}

void require_norm(const TypesIn& in, int64_t p) {
  if (p < 1) in.fail("p is " + std::to_string(p), "a norm needs p of at least 1");
}

}  // namespace espalier::ops
