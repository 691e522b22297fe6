// Clients over loopback, in a closed loop (each sends a request, waits for its answer, sends the
// next) or at a rate. For measurements within one process; bench/load asks servers elsewhere.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "serve/stages.h"

namespace espalier::serve {

struct LoadOptions {
  uint16_t port = 0;
  std::string path;                   ///< "/v2/models/NAME/infer"
  std::vector<std::string> bodies;    ///< taken in turn
  std::vector<std::string> headers;   ///< "Name: value"
  std::vector<std::string> expected;  ///< answers to `bodies`; empty: not compared
  int clients = 1;
  int64_t most_requests = 1 << 20;  ///< of all clients together
  Duration longest = std::chrono::seconds(1);
  /// A connection whose answer takes longer is given up.
  Duration patience = std::chrono::seconds(30);
};

/// What came back, of requests begun within the time; each counts once.
struct LoadResult {
  int64_t ok = 0;                 ///< answered 200
  int64_t wrong = 0;              ///< answered 200, but not as expected
  int64_t shed = 0;               ///< answered 503
  int64_t refused = 0;            ///< answered otherwise
  int64_t closed = 0;             ///< the connection ended without a whole answer
  int64_t unconnected = 0;        ///< nobody listened
  double seconds = 0;             ///< until the last answer
  std::vector<double> latencies;  ///< of `ok`, in seconds, in no order
  /// Where servers told it (Server-Timing): seconds by stage, summed over those answers.
  std::array<double, kStages> stages{};
  double total = 0;          ///< the same for `total`
  std::string first_answer;  ///< to bodies[0], the body
};

LoadResult ask_in_closed_loop(const LoadOptions& options);

/// Requests at random intervals (Poisson) of `rate` a second on average, whether answered or not,
/// as long as `clients` connections bear it. Latencies count from when a request was due, so that
/// clients that fall behind hide nothing.
LoadResult ask_at_rate(const LoadOptions& options, double rate, uint64_t seed);

/// The value that a share of the latencies is at most; 0 of none.
double quantile(std::vector<double> latencies, double share);

}  // namespace espalier::serve
