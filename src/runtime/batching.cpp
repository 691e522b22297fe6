#include "runtime/batching.h"

#include <algorithm>

#include "kernels/jit/space.h"

namespace espalier {
namespace {

double bytes_of(const Graph& g, ValueId v) {
  const TensorType& t = g.value(v).tensor();
  return double(t.numel()) * double(size_of(t.dtype));
}

double weight_bytes(const Graph& g) {
  double bytes = 0;
  for (size_t v = 0; v < g.value_count(); ++v)
    if (g.alive(ValueId(v)) && g.is_constant(ValueId(v))) bytes += bytes_of(g, ValueId(v));
  return bytes;
}

/// What nodes read and write beside weights, in bytes: all of them, and the one that moves most.
struct Traffic {
  double all = 0, most = 0;
};

Traffic traffic_of(const Graph& g) {
  Traffic t;
  for (NodeId id : g.order()) {
    const Node& n = g.node(id);
    double moved = 0;
    for (const auto* list : {&n.inputs, &n.outputs})
      for (ValueId v : *list)
        if (v != kNoValue && g.value(v).type.is_static() && !g.is_constant(v))
          moved += bytes_of(g, v);
    t.all += moved;
    t.most = std::max(t.most, moved);
  }
  return t;
}

}  // namespace

bool better_by_sample(const Graph& graph, const Graph& prepared, int64_t samples, int threads) {
  // Threads should end together.
  if (samples % threads != 0 && samples < 4 * threads) return false;
  // What a core may call its own of the last cache is not told by the system: of servers it names
  // all, of which a virtual machine has little.
  const double near = 16 * double(kernels::gemm_device().l2_bytes);
  // What starting a node costs must not count beside its work on one sample.
  const double least = 16e3 * double(prepared.order().size());
  const Traffic t = traffic_of(prepared);
  const double of_sample = t.all / double(samples);
  return t.most > near && of_sample > 1.5 * weight_bytes(graph) && of_sample > least;
}

}  // namespace espalier
