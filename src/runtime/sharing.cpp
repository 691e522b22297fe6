#include "runtime/sharing.h"

namespace espalier {
namespace {

/// Two threads were slower than one below it, on the networks of bench/networks.py and of
/// docs/benchmarks.md that have such nodes.
constexpr double kMicros = 12;
/// About half of what a core of today reaches, for want of knowing the machine.
constexpr double kMacsPerMicro = 60e3, kBytesPerMicro = 60e3;
constexpr double kIntegerSpeedup = 3;

}  // namespace

bool worth_sharing(const Cost& cost, const TypesIn& in) {
  const bool integer = in.has(0) && in.type(0).is_tensor() && size_of(in[0].dtype) == 1;
  const double macs = cost.macs / (integer ? kIntegerSpeedup : 1);
  return macs / kMacsPerMicro + cost.bytes / kBytesPerMicro >= kMicros;
}

}  // namespace espalier
