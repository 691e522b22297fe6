// Integer arithmetic that is defined everywhere. References see integers of every width as int64_t
// and narrow results by wrapping, so sums, differences and products wrap; u64 keeps its bits, so
// whatever orders or divides needs to know whether these are unsigned.
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

namespace espalier::ops {

/// f(a, b) of floats, or of integers modulo 2^64 (f: std::plus<>, std::minus<>, std::multiplies<>).
template <class F, class T>
T wrapping(F f, T a, T b) {
  if constexpr (std::is_floating_point_v<T>)
    return f(a, b);
  else
    return T(f(uint64_t(a), uint64_t(b)));
}

/// -a modulo 2^64.
inline int64_t negated(int64_t a) { return int64_t(0 - uint64_t(a)); }

/// A key that orders bits as their unsigned numbers where asked, else as their signed ones.
inline int64_t order_key(int64_t a, bool is_unsigned) {
  return is_unsigned ? a ^ std::numeric_limits<int64_t>::min() : a;
}

/// a / b toward zero. By zero it is 0; the smallest number by -1 wraps.
inline int64_t quotient(int64_t a, int64_t b, bool is_unsigned) {
  if (b == 0) return 0;
  if (is_unsigned) return int64_t(uint64_t(a) / uint64_t(b));
  return b == -1 ? negated(a) : a / b;
}

/// a - b * quotient(a, b): the sign of `a`. By zero it is 0.
inline int64_t remainder(int64_t a, int64_t b, bool is_unsigned) {
  if (b == 0) return 0;
  if (is_unsigned) return int64_t(uint64_t(a) % uint64_t(b));
  return b == -1 ? 0 : a % b;
}

}  // namespace espalier::ops
