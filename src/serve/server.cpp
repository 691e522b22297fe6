#include "serve/server.h"

#include <sys/resource.h>

#include <algorithm>

#include "base/log.h"

namespace espalier::serve {
namespace {

/// A connection is a descriptor; the usual limit of 1024 is soft.
void allow_descriptors(int64_t connections) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const auto wanted = rlim_t(2 * connections + 64);
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = std::min(wanted, limit.rlim_max);
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

void serve(Service& service, const HttpOptions& options, StopSignals& signals,
           const std::function<void(uint16_t port)>& listening) {
  allow_descriptors(options.most_connections);
  HttpServer http(
      options,
      [&](Request request, Respond respond) {
        service.handle(std::move(request), std::move(respond));
      },
      [&](int status, const std::string& message) { return service.reject(status, message); });
  const auto show_connections = [&](std::function<double()> value) {
    service.metrics().gauge("espalier_http_connections", "Connections that are open",
                            std::move(value));
  };
  show_connections([&] { return double(http.connections()); });
  signals.on_stop([&] {
    log_info("finishing what was accepted; a second signal stops at once");
    http.drain();  // first, so that answers of hurried batches already say that it closes
    service.leave();
  });
  listening(http.port());
  http.run();
  signals.on_stop({});  // waits for the one that is running: it uses `http`
  service.drain();      // as do the answers
  show_connections([] { return 0.0; });
}

}  // namespace espalier::serve
