// What a user is told where something is refused.
#pragma once

#include <functional>
#include <string>

#include "base/error.h"

namespace espalier::testing {

/// The message of the UserError that `body` throws, and its hint; "nothing was thrown" where none.
inline std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const UserError& e) {
    return std::string(e.what()) + " | " + e.hint();
  }
  return "nothing was thrown";
}

}  // namespace espalier::testing
