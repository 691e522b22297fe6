// What adapters of low rank share: paths beside a weight, and the change they amount to.
#pragma once

#include <functional>

#include "train/adapter.h"

namespace espalier {

/// The weight as its node reads it.
Tensor as_read(const Graph& graph, const WeightTarget& target);

/// The node's operator on its activation with another weight, without further operands.
ValueId beside(Adapting& a, const WeightTarget& t, ValueId x, ValueId weight);
/// Mixes the channels of `x`, `from` of them: by a matrix [from, to] where the target is a matrix,
/// by a convolution [to, from, 1, …] where it has a window.
ValueId mixed(Adapting& a, const WeightTarget& t, ValueId x, ValueId weight);
Shape mixing_shape(const WeightTarget& t, int64_t from, int64_t to);
/// Entry (from, to) of such a weight.
double mixing_entry(const WeightTarget& t, const Tensor& weight, int64_t from, int64_t to);
/// The value times a number; itself where that is 1.
ValueId scaled(Adapting& a, ValueId v, double by);

/// Adds `path` to what the target's node gives.
void add_to_result(Adapting& a, const WeightTarget& t, ValueId path, NodeId first_new);

/// `inner` with `extent` slices along `axis`: slice e is the sum over r of inner's slice r times
/// entry(r, e).
Tensor expanded(const Tensor& inner, int axis, int64_t extent,
                const std::function<double(int64_t r, int64_t e)>& entry);

}  // namespace espalier
