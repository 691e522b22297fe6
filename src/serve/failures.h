// What goes wrong with a request, as responses: one JSON object {"error": "…"}.
#pragma once

#include <exception>

#include "serve/message.h"

namespace espalier::serve {

Response failure(int status, const std::string& message);
/// 503 with Retry-After in whole seconds, at least one.
Response overloaded(const std::string& reason, Duration retry_after);
/// Rejection: its status. UserError: 400. No memory: 503. Anything else is a defect of ours: 500,
/// and a line in the log.
Response failure_of(std::exception_ptr error);

}  // namespace espalier::serve
