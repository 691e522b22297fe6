// Errors of what a recipe's values say, told with the line they stand in.
#pragma once

#include "base/error.h"
#include "recipe/yaml.h"

namespace espalier {

/// Runs `body`; its errors gain the line of `place`, or the argument that set it. A text that would
/// be a mistake of usage on the command line is bad input where a file holds it, and the reverse.
template <class Body>
auto at_line(const Yaml& place, Body body) {
  try {
    return body();
  } catch (const UserError& e) {
    const bool mistake = e.code() == ExitCode::kUsage || e.code() == ExitCode::kBadInput;
    const ExitCode code = !mistake              ? e.code()
                          : place.is_argument() ? ExitCode::kUsage
                                                : ExitCode::kBadInput;
    const std::string inner = e.where().empty() ? "" : ": " + e.where();
    throw UserError(code, place.where() + inner, e.problem(), e.hint());
  }
}

}  // namespace espalier
