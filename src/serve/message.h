// Requests and responses of HTTP as the service sees them: no sockets, no syntax.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace espalier::serve {

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;
using Duration = Clock::duration;

inline double seconds(Duration d) { return std::chrono::duration<double>(d).count(); }
inline Duration milliseconds(double ms) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double, std::milli>(ms));
}

struct Request {
  std::string method;
  std::string path;  ///< as it was sent, without the query
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  Time began{};     ///< its first byte was here
  Time received{};  ///< its last byte was here
  /// Whether the client has hung up; may be asked from any thread. Empty: it has not.
  std::function<bool()> gone;

  /// The header of that name, whatever its case.
  std::optional<std::string> header(const std::string& name) const;
};

struct Response {
  int status = 200;
  std::string type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  /// Called once its last byte was handed to the system, from the thread that moves bytes; not at
  /// all where it could not be. Empty: nobody asks.
  std::function<void()> sent;
};

/// Takes the one response to a request, from any thread.
using Respond = std::function<void(Response)>;

/// A request that ends with a status of its own; whatever else is wrong with one is a UserError,
/// which is status 400.
class Rejection : public std::runtime_error {
 public:
  Rejection(int status, const std::string& what) : std::runtime_error(what), status_(status) {}
  int status() const { return status_; }

 private:
  int status_;
};

}  // namespace espalier::serve
