// The routes of the server: which request goes where. No sockets. docs/serving.md lists them.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>

#include "serve/hosted_model.h"
#include "serve/message.h"
#include "serve/metrics.h"

namespace espalier::serve {

class Service {
 public:
  /// `threads` decode and encode.
  Service(const RequestLimits& limits, int threads);
  ~Service();

  /// Before the first request. UserError for a name that is taken or a network that cannot be
  /// served.
  void add(Graph graph, const HostOptions& options);
  const std::map<std::string, std::unique_ptr<HostedModel>>& models() const { return models_; }
  Metrics& metrics() { return metrics_; }

  /// Answers exactly once, now or later, from whichever thread.
  void handle(Request request, Respond respond);
  /// A response for what is no request; counted as others are.
  Response reject(int status, const std::string& message);
  /// From now on it says that it is not ready and batches wait for nobody; it still answers.
  void leave();
  /// Finishes what was accepted: once it returns, all of it is answered and no thread of the
  /// service knows a request any more. What comes afterwards is refused.
  void drain();

 private:
  void count(const Response& response);
  Response answer(const Request& request);
  HostedModel& model(const std::string& name);

  const RequestLimits limits_;
  Metrics metrics_;
  std::map<std::string, std::unique_ptr<HostedModel>> models_;
  TaskPool pool_;
  std::atomic<bool> leaving_ = false;
};

}  // namespace espalier::serve
