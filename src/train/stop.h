// Stopping on Ctrl-C: the first signal asks running work to save and end, the second ends at once.
#pragma once

namespace espalier {

/// Catches SIGINT and SIGTERM from now on. Calling it again is a no-op.
void catch_stop_signals();
/// Whether a signal came, or request_stop was called.
bool stop_requested();
void request_stop();
/// Forgets an earlier request.
void clear_stop();

}  // namespace espalier
