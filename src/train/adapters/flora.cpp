// FLoRA: the change of a weight of any number of axes is a Tucker form, a small core times one thin
// factor for each axis (Si et al. 2024, arXiv:2405.14739, equation 4), so that the window of a
// convolution stays what it is. The core begins with zeros, the factors at random.
//
// What runs is the form itself: channels are mixed down, the core works as a convolution of few
// channels, and its results are mixed up.
#include <cmath>

#include "base/error.h"
#include "train/adapters/low_rank.h"

namespace espalier {
namespace {

struct Names {
  std::string core, in, out, window;
  explicit Names(const std::string& p)
      : core(p + ".flora_core"),
        in(p + ".flora_in"),
        out(p + ".flora_out"),
        window(p + ".flora_window") {}
};

/// The core's window factors applied: the last axes of `core` are the window.
ValueId widened(Adapting& a, const WeightTarget& t, const std::vector<int64_t>& ranks, ValueId core,
                const Names& names) {
  Builder b = a.builder();
  for (size_t i = t.window.size(); i-- > 0;) {
    const int64_t full = t.shape[size_t(t.window[i])];
    if (ranks[i] == full) continue;
    const std::string name = names.window + std::to_string(i);
    const double deviation = 1 / std::sqrt(double(ranks[i]));
    const bool last = i + 1 == t.window.size();
    const ValueId factor =
        a.parameter(name, last ? Shape{ranks[i], full} : Shape{full, ranks[i]}, deviation);
    core = last ? b.matmul(core, factor) : b.matmul(factor, core);
  }
  return core;
}

Tensor widened(const WeightTarget& t, const Graph& g, Tensor core, const Names& names) {
  for (size_t i = 0; i < t.window.size(); ++i) {
    const ValueId v = g.find(names.window + std::to_string(i));
    if (v == kNoValue) continue;
    const Tensor& f = *g.value(v).constant;
    const bool last = i + 1 == t.window.size();
    const int64_t full = t.shape[size_t(t.window[i])];
    core = expanded(core, t.window[i], full, [&](int64_t r, int64_t e) {
      return last ? f.at(r * full + e) : f.at(e * f.shape()[1] + r);
    });
  }
  return core;
}

void put_beside(Adapting& a, const WeightTarget& t) {
  const Names names(t.parameter);
  const int64_t in = std::min(int64_t(a.setting("rank")), t.inputs());
  const int64_t out = std::min(int64_t(a.setting("rank")), t.outputs());
  const double scale = a.setting("scale");
  Shape core = t.with(t.in_axis, in);
  core[size_t(t.out_axis)] = out;
  std::vector<int64_t> ranks;
  for (int axis : t.window) {
    const int64_t full = t.shape[size_t(axis)];
    const auto wanted = int64_t(a.setting("window_rank"));
    const bool at_end = axis >= int(t.shape.size()) - 2 && t.shape.size() <= 4;
    ranks.push_back(wanted > 0 && at_end ? std::min(wanted, full) : full);
    core[size_t(axis)] = ranks.back();
  }
  const NodeId first = a.next_node();
  const ValueId x = a.graph().node(t.node).inputs[t.x_slot];
  const ValueId down =
      a.parameter(names.in, mixing_shape(t, t.inputs(), in), 1 / std::sqrt(double(t.inputs())));
  const ValueId up =
      a.parameter(names.out, mixing_shape(t, out, t.outputs()), 1 / std::sqrt(double(out)));
  const ValueId middle = widened(a, t, ranks, a.parameter(names.core, core, 0), names);
  const ValueId inner = beside(a, t, mixed(a, t, x, down), middle);
  add_to_result(a, t, mixed(a, t, inner, scaled(a, up, scale)), first);
  a.merges(t, [t, names, scale](const Graph& g) {
    const auto value = [&](const std::string& n) { return *g.value(g.find(n)).constant; };
    const Tensor from = value(names.in), to = value(names.out);
    const Tensor inner =
        expanded(widened(t, g, value(names.core), names), t.in_axis, t.inputs(),
                 [&](int64_t r, int64_t e) { return mixing_entry(t, from, e, r); });
    return expanded(inner, t.out_axis, t.outputs(),
                    [&](int64_t r, int64_t e) { return scale * mixing_entry(t, to, r, e); });
  });
}

void attach(Adapting& a) {
  for (const WeightTarget& t : a.targets()) put_beside(a, t);
}

}  // namespace

const AdapterUnit& flora_adapter() {
  static const AdapterUnit unit = {
      "flora",
      "Si et al. 2024, arXiv:2405.14739",
      "a Tucker form beside each weight: a core and a factor for each axis",
      {{"rank", 8, 1, 4096, "of the axes of inputs and outputs"},
       {"window_rank", 0, 0, 64, "of the axes of a window; 0: as large as they are"},
       {"scale", 1, 1e-6, 1e6, "of the change"}},
      {},
      true,
      attach};
  return unit;
}

}  // namespace espalier
