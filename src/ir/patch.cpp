#include "ir/patch.h"

#include "base/error.h"

namespace espalier {
namespace {

/// What both types say of one value: an extent that either knows. An operator of several knows less
/// of open extents than the one that they stand for.
Type known_together(const Type& made, const Type& replaced) {
  if (!made.is_tensor() || !replaced.is_tensor()) return made;
  TensorType type = made.tensor();
  const TensorType& other = replaced.tensor();
  if (type.rank() != other.rank()) return made;
  for (size_t i = 0; i < type.dims.size(); ++i)
    if (!type.dims[i].known()) type.dims[i] = other.dims[i];
  return type;
}

}  // namespace

void Patch::apply() {
  Graph& g = builder_.graph();
  for (auto [from, to] : shunts_) {
    if (g.value(to).producer != kNoNode)
      g.mutable_value(to).type = known_together(g.value(to).type, g.value(from).type);
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
