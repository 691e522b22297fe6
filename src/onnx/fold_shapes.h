// What of a file's nodes is computed while the file is read.
#pragma once

#include <optional>
#include <unordered_set>
#include <vector>

#include "onnx/adapt.h"

namespace espalier {

/// The results of the node that `call` is about to become, if they are known now and belong to a
/// shape computation: such chains begin at shapes, and work on integers or on what is in `known`,
/// the constants that were folded before or pinned. Weights are left alone. `types` are those of
/// the results.
std::optional<std::vector<Tensor>> shape_results(const Graph& graph,
                                                 const std::unordered_set<ValueId>& known,
                                                 const Room& room, const Attributes& attrs,
                                                 const Call& call, const Types& types);

}  // namespace espalier
