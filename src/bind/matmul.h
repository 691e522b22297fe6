// A node as a matrix product, for the kernels that may serve it.
#pragma once

#include <variant>
#include <vector>

#include "bind/contraction.h"

namespace espalier::bind {

/// Keeps what the specification points to, constants of the request excepted.
struct MatmulRequest {
  Contraction contraction;
  Tensor bias;  ///< where the specification's is none of the request's constants
  kernels::MatmulSpec spec;
};

/// The request as a product of matrices, or why it is none.
std::variant<MatmulRequest, Refuse> matmul_request(const BindRequest& request);

/// Operands known at compile time, which kernels keep in their own form.
std::vector<int> constant_operands(const BindRequest& request);

}  // namespace espalier::bind
