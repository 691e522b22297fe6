#include "base/error.h"

namespace espalier {

UserError::UserError(ExitCode code, std::string where, std::string what, std::string hint)
    : std::runtime_error(where.empty() ? what : where + ": " + what),
      code_(code),
      where_(std::move(where)),
      what_(std::move(what)),
      hint_(std::move(hint)) {}

UserError UserError::within(const std::string& outer) const {
  return UserError(code_, where_.empty() ? outer : outer + ": " + where_, what_, hint_);
}

UserError bad_input(std::string where, std::string what, std::string hint) {
  return UserError(ExitCode::kBadInput, std::move(where), std::move(what), std::move(hint));
}
UserError unsupported(std::string where, std::string what, std::string hint) {
  return UserError(ExitCode::kUnsupported, std::move(where), std::move(what), std::move(hint));
}
UserError usage_error(std::string where, std::string what, std::string hint) {
  return UserError(ExitCode::kUsage, std::move(where), std::move(what), std::move(hint));
}

void fail_check(const char* file, int line, const char* condition, const std::string& message) {
  throw InternalError(std::string(file) + ":" + std::to_string(line) + ": " + message +
                      " (expected " + condition + ")");
}

}  // namespace espalier
