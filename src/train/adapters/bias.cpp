// BitFit: biases are trained and nothing else (Ben Zaken et al. 2021, arXiv:2106.10199). Their
// gradients read no activation, so that none is kept on their account.
#include "base/error.h"
#include "train/adapter.h"

namespace espalier {
namespace {

void attach(Adapting& a) {
  for (const std::string& name :
       selected_parameters(a.graph(), {{.names = a.spec().targets, .biases = true}}))
    a.train(name);
}

}  // namespace

const AdapterUnit& bias_adapter() {
  static const AdapterUnit unit = {
      "bias", "Ben Zaken et al. 2021, arXiv:2106.10199", "biases alone", {}, {}, true, attach};
  return unit;
}

}  // namespace espalier
