// HTTP/1.1 over TCP: connections, syntax, limits and time-outs. Knows nothing of what it carries.
//
// One thread moves bytes for all connections (Boost.Asio); handlers answer from any thread. A
// request is handed over once it is whole; a connection has one request at a time. What is no HTTP
// is answered with 400 and the connection closed; too large a header with 431, too large a body
// with 413.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "serve/message.h"

namespace espalier::serve {

struct HttpOptions {
  std::string host = "127.0.0.1";  ///< an address, or a name that stands for one
  uint16_t port = 8000;            ///< 0: a free one
  int64_t most_connections = 512;  ///< beyond these: 503 at once
  uint64_t most_body = uint64_t{64} << 20;
  uint32_t most_header = uint32_t{16} << 10;
  std::chrono::milliseconds idle{60000};     ///< between requests
  std::chrono::milliseconds receive{30000};  ///< from a request's first byte to its last
  std::chrono::milliseconds send{30000};     ///< of a response
};

class HttpServer {
 public:
  using Handle = std::function<void(Request, Respond)>;
  /// The response for what is no request the handler could have.
  using Reject = std::function<Response(int status, const std::string& message)>;

  /// Listens. UserError when the address cannot be used.
  HttpServer(const HttpOptions& options, Handle handle, Reject reject);
  ~HttpServer();

  uint16_t port() const;
  int64_t connections() const;
  /// Serves until drained.
  void run();
  /// Stops listening, closes idle connections, lets requests that have begun be answered. From any
  /// thread.
  void drain();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace espalier::serve
