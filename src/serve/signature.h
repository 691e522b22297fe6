// What a network takes and gives.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "ir/type.h"
#include "tensor/tensor.h"

namespace espalier {
class Graph;
}

namespace espalier::serve {

struct Port {
  std::string name;
  TensorType type;
};

struct Signature {
  std::vector<Port> inputs, outputs;
};

/// UserError (unsupported) for networks whose inputs or outputs are no tensors, or that keep state.
Signature signature_of(const Graph& graph);

/// `tensor` may be fed to `port`: element type, rank and fixed extents; open extents are at
/// least 1. UserError naming `where` otherwise.
void check_fit(const Port& port, const Tensor& tensor, const std::string& where);

/// Extents of one name are one number. `tensors` in the order of `ports`. UserError otherwise.
void check_symbols(std::span<const Port> ports, std::span<const Tensor> tensors);

}  // namespace espalier::serve
