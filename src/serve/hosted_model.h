// One network as a service: from an HTTP request to its answer, through parsing, pictures, the
// queue, a batch and encoding, with the time of each measured.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "serve/metrics.h"
#include "serve/network.h"
#include "serve/pictures.h"
#include "serve/protocol.h"
#include "serve/scheduler.h"
#include "serve/stages.h"
#include "serve/task_pool.h"

namespace espalier::serve {

// Where options stop being sane.
inline constexpr int64_t kLargestBatch = 4096, kMostInstances = 256, kLongestQueue = 1 << 20;
inline constexpr double kMostMilliseconds = 1e9;

struct HostOptions {
  std::string name;
  NetworkOptions network;
  QueueOptions queue;                           ///< rows, instances and decoders are set
  Duration timeout = std::chrono::seconds(30);  ///< of requests that name none; 0: without end
  std::vector<PictureOptions> pictures;
};

struct RequestLimits {
  InferLimits infer;
  uint64_t most_pixels = uint64_t{1} << 25;  ///< of one picture
};

class HostedModel {
 public:
  /// UserError for a network that cannot be served so. `metrics` and `pool` outlive it.
  HostedModel(Graph graph, const HostOptions& options, const RequestLimits& limits,
              Metrics& metrics, TaskPool& pool);
  ~HostedModel();

  const std::string& name() const { return name_; }
  const Network& network() const { return network_; }
  std::string metadata() const;

  /// Answers exactly once, from whichever thread. The deadline is the least of the server's, the
  /// header Timeout-Ms and the parameter `timeout` (microseconds), from the request's first byte.
  /// The header `Stage-Times: on` asks for the request's own times in the header Server-Timing.
  void infer(Request request, Respond respond);
  /// Batches wait for nobody any more.
  void hurry() { scheduler_.hurry(); }
  /// Finishes what was accepted; what comes now is refused.
  void drain() { scheduler_.drain(); }

 private:
  struct Call;
  class Job;
  struct Measures;
  using CallPtr = std::shared_ptr<Call>;

  void prepare(const CallPtr& call, Ticket ticket);
  void parse(Call& call) const;
  void arrange(Call& call) const;
  void run(int instance, std::span<const WorkPtr> batch);
  void encode(Call& call);
  void finish(Call& call, Counter& outcome, Response response);

  const std::string name_;
  const RequestLimits limits_;
  const Duration timeout_;
  Network network_;
  std::vector<PictureInput> pictures_;
  std::unique_ptr<Measures> measures_;
  TaskPool& pool_;
  Scheduler scheduler_;
};

}  // namespace espalier::serve
