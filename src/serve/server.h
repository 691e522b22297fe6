// Models behind HTTP until a signal ends it.
#pragma once

#include <functional>

#include "serve/http.h"
#include "serve/service.h"
#include "serve/signals.h"

namespace espalier::serve {

/// Serves until the first signal: then stops listening, finishes the requests that have begun, and
/// returns. `listening` is called with the port once requests are answered. UserError when the
/// address cannot be used.
void serve(Service& service, const HttpOptions& options, StopSignals& signals,
           const std::function<void(uint16_t port)>& listening);

}  // namespace espalier::serve
