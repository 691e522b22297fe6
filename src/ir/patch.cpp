#include "ir/patch.h"

#include "base/error.h"

namespace espalier {

void Patch::apply() {
  Graph& g = builder_.graph();
  for (auto [from, to] : shunts_) {
    const Type &old_type = g.value(from).type, &new_type = g.value(to).type;
    ESP_CHECK(refines(new_type, old_type), "a patch replaces '" + g.value(from).name +
                                               "' of type " + to_string(old_type) + " by " +
                                               to_string(new_type));
    g.replace_uses(from, to);
    // Inputs and constants keep their own names; a produced value carries on the old one.
    if (g.value(to).producer != kNoNode && g.value(from).producer != kNoNode) {
      const std::string name = g.value(from).name;
      g.rename(from, g.fresh_name(name + "_old"));
      g.rename(to, name);
    }
  }
  shunts_.clear();
  g.sort();
}

}  // namespace espalier
