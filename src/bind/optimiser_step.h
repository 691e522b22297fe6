// Optimisers' steps that take each element by itself: as kernels of a whole parameter, and of a few
// elements at a time, whose moments are read from 8-bit floats and written to them.
#pragma once

#include <functional>
#include <variant>

#include "bind/binder.h"
#include "tensor/float8.h"

namespace espalier::bind {

/// A step of n elements, in f32 but for the gradient; operands and results as the operator has
/// them.
using RangeStep = std::function<void(int64_t n, const KernelArgs&)>;
using BoundStep = std::variant<RangeStep, Refuse>;

/// The step of an operator that is one; refused for others, and for types it has no kernel for.
BoundStep range_step(const BindRequest& request);

/// Whether a node is such a step.
bool is_range_step(const Graph& graph, NodeId node);
/// Whether a node reads 8-bit floats, and whether it writes them; in which groups.
bool reads_float8(const Graph& graph, NodeId node);
bool writes_float8(const Graph& graph, NodeId node);
Float8Groups float8_groups(const Room& room, const Attributes& attributes);

}  // namespace espalier::bind
