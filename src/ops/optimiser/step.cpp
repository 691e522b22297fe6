#include "ops/optimiser/step.h"

namespace espalier::ops {

Types infer_step(const TypesIn& in, size_t tensors) {
  Types results = {in[0]};
  require_float(in, 0);
  for (size_t i = 1; i < tensors; ++i) {
    require_float(in, i);
    if (in[i].dims != in[0].dims || (i > 1 && in[i].dtype != in[0].dtype))
      in.fail("operand " + std::to_string(i) + " is " + to_string(in[i]) + ", the parameter is " +
              to_string(in[0]));
    if (i > 1) results.emplace_back(in[0]);
  }
  for (size_t i = tensors; i < in.size(); ++i) require_rank(in, i, 0);
  return results;
}

AxisMap step_axes(const TypesIn& in, size_t tensors) {
  AxisMap map;
  for (int64_t d = 0; d < in[0].rank(); ++d) {
    if (!in[0].dims[size_t(d)].known()) continue;
    AxisTie tie{in[0].dims[size_t(d)].value(), {}};
    for (size_t i = 0; i < tensors; ++i) {
      tie.places.push_back(AxisPlace::in(int(i), d));
      if (i != 1) tie.places.push_back(AxisPlace::out(i == 0 ? 0 : int(i) - 1, d));
    }
    map.ties.push_back(std::move(tie));
  }
  return map;
}

void for_each_element(CWriter& c, const std::function<void(const std::string& at)>& element) {
  c.nest({c.size(0)}, {{0, {1}}}, [&](const std::vector<std::string>& at) { element(at[0]); });
}

}  // namespace espalier::ops
