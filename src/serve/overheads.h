// What a picture server does beside inference, and what fusing and overlapping it is worth: the
// same network behind the serial server (serial_server.h) and behind ours, asked over loopback with
// the same files, in turns.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "serve/load_client.h"
#include "serve/pictures.h"

namespace espalier::serve {

struct PictureSet {
  std::string name;
  std::vector<std::string> files;  ///< JPEG or PNG
};

struct OverheadOptions {
  PictureOptions picture;
  int threads = 2;        ///< of either server's inference, all instances together
  int instances = 2;      ///< of ours
  int64_t max_batch = 4;  ///< of ours
  int clients = 8;        ///< that wait for their answers, for throughput
  int rounds = 5;         ///< of all servers in turn
  Duration time = std::chrono::seconds(1);  ///< of each server in each round
  int64_t most_requests = 1 << 20;          ///< the same
};

/// One server on one set of pictures.
struct ServerFigures {
  std::vector<double> per_second;  ///< answers, of each round
  double median_per_second = 0;
  double lone_ms = 0;                         ///< median latency of a client that is alone
  std::array<double, kStages> lone_stages{};  ///< mean milliseconds of its requests, by stage
  double lone_total = 0;                      ///< mean milliseconds in the server
  double loaded_ms = 0;                       ///< median latency of all clients together
  int64_t answers = 0, failures = 0;
  /// What of a lone request's time in the server is not the network's.
  double overhead_share() const;
};

struct OverheadFigures {
  std::string name;
  ServerFigures serial, fused;
  ServerFigures average;     ///< fused with Shrink::average
  double ratio = 0;          ///< median over rounds of fused over serial, answers a second
  double average_ratio = 0;  ///< the same of `average`
  double difference = 0;     ///< relative L2 between the outputs of serial and fused
};

/// Our server at a rate of requests, given as a part of what it carried.
struct RateFigures {
  double load = 0, per_second = 0;  ///< of what it can carry; requests a second
  double accepted_per_second = 0;
  int64_t asked = 0, accepted = 0, shed = 0, failures = 0;
  double p50_ms = 0, p99_ms = 0, max_ms = 0;  ///< of the accepted, from when they were due
};

struct OverheadReport {
  std::vector<OverheadFigures> sets;
  double network_alone = 0;   ///< pictures a second that our instances compute when fed tensors
  double geometric_mean = 0;  ///< of the sets' ratios
  double average_geometric_mean = 0;
};

/// `graph` takes pictures at its only input, f32 [N, C, H, W] with N open. Servers listen on
/// loopback at free ports and are gone when it returns, after about (1 + 3 * sets * (rounds
/// + 1.25)) times options.time. `step` is called after each of sets * (rounds + 1) steps.
OverheadReport compare_servers(const Graph& graph, const std::vector<PictureSet>& sets,
                               const OverheadOptions& options,
                               const std::function<void()>& step = {});

struct RateOptions {
  std::vector<double> loads = {0.5, 1, 2};
  Duration time = std::chrono::seconds(4);             ///< of each
  Duration max_wait = std::chrono::milliseconds(100);  ///< what would wait longer is shed
  int connections = 128;
  uint64_t seed = 0;
};

/// What our server carries from `options.clients` that wait for their answers, then how it bears
/// parts and multiples of that. `capacity` is told first.
std::vector<RateFigures> bear_load(const Graph& graph, const PictureSet& set,
                                   const OverheadOptions& options, const RateOptions& rates,
                                   double* capacity = nullptr);

}  // namespace espalier::serve
