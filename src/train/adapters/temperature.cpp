// A temperature for each answer, predicted from its logits by a small network (TempNet, Qiu et al.
// 2024, arXiv:2404.04575): logits h become h / tau(h). With the key `rho` of training the robust
// loss teaches it, else the likelihood. The network before it learns nothing through tau.
#include "train/temperature.h"

#include "base/error.h"
#include "train/adapter.h"

namespace espalier {
namespace {

void attach(Adapting& a) {
  Graph& g = a.graph();
  if (a.targeted())
    throw bad_input("adapter 'temperature'", "stands behind the logits and has no targets",
                    "leave 'targets' out");
  if (g.outputs().size() != 1)
    throw unsupported(g.name, "has " + std::to_string(g.outputs().size()) +
                                  " outputs, a temperature belongs to one");
  const ValueId logits = g.outputs()[0];
  const TensorType& type = a.typed().value(a.typed().outputs()[0]).tensor();
  if (!is_float(type.dtype) || type.rank() < 2)
    throw unsupported(g.name, "answers with " + to_string(type) +
                                  ", a temperature needs logits [N, ..., classes]");
  TemperatureNet net;
  net.width = int64_t(a.setting("width"));
  net.least = a.setting("least");
  net.most = a.setting("most");
  net.dropout = a.setting("dropout");
  const NodeId first = a.next_node();
  Builder b = a.builder();
  const ValueId temperature = write_temperature(
      b, logits, net, a.input().seed,
      [&](const std::string& name, Tensor value) { return a.parameter(name, std::move(value)); });
  a.replace(logits, b.div(logits, temperature), first);
}

}  // namespace

const AdapterUnit& temperature_adapter() {
  static const AdapterUnit unit = {
      "temperature",
      "Qiu et al. 2024, arXiv:2404.04575",
      "a temperature for each answer, predicted from its logits",
      {{"width", 256, 1, 65536, "units and prototypes of its network"},
       {"least", 0.01, 1e-6, 1e6, "lower bound of a temperature"},
       {"most", 2, 1e-6, 1e6, "upper bound; first temperatures lie about the middle"},
       {"dropout", 0.5, 0, 0.99, "of its units, in training"}},
      {},
      false,
      attach};
  return unit;
}

}  // namespace espalier
