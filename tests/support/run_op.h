// One operator on concrete tensors, through its reference: for tests of single rooms.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ir/attribute.h"

namespace espalier::testing {

/// Results of "Add" or "espalier.Silu"; an empty optional operand is `omitted()`.
std::vector<Tensor> run_op(const std::string& full_name, const std::vector<Tensor>& operands,
                           const AttributeMap& attributes = {});
/// Stands for an omitted operand of run_op.
Tensor omitted();

/// The message of the UserError `body` throws; "(no error)" if it throws none.
std::string user_error(const std::function<void()>& body);

}  // namespace espalier::testing
