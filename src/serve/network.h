// A network ready to answer: compiled for the shapes that come, requests stacked into batches where
// that changes no answer.
//
// Requests may share a run only where samples provably do not see each other: the network,
// specialised to a batch of two, must open again (passes/open_batch.h), which follows the batch
// through every node. What cannot be shown is run request by request.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "runtime/session.h"
#include "serve/message.h"
#include "serve/signature.h"

namespace espalier::serve {

struct NetworkOptions {
  int64_t max_batch = 8;   ///< rows that run together; 1: every request by itself
  int instances = 1;       ///< runs that may go on at the same time
  int threads = 1;         ///< of each
  bool reference = false;  ///< by the interpreter instead of kernels
  size_t most_forms = 16;  ///< sets of shapes that programs are kept for
  std::shared_ptr<const KernelChoices> choices;  ///< see CompileOptions
};

/// Inputs or outputs of one request, in the network's order.
using Tensors = std::vector<Tensor>;

/// Where the time of a run goes.
struct RunTimes {
  Duration assemble{};  ///< stacking inputs and taking outputs apart
  Duration compute{};
};

/// The network for one set of shapes. `run` may be called for different instances at once.
class Form {
 public:
  Form(Graph graph, bool stacks, const NetworkOptions& options);

  bool stacks() const { return stacks_; }
  /// Answers requests: several only where they stack. Compiles what is not compiled yet, which
  /// counts as computing.
  std::vector<Tensors> run(int instance, std::span<const Tensors* const> requests,
                           RunTimes* times = nullptr);
  /// Compiles for every batch size and instance, and runs each once. UserError for what cannot be
  /// compiled.
  void warm_up();

 private:
  int64_t size_for(int64_t rows) const;
  Session& session(int instance, std::span<const Shape> shapes);
  Tensors compute(int instance, const Tensors& inputs);

  const Graph graph_;
  const bool stacks_;
  const NetworkOptions options_;
  std::mutex compiling_;
  std::map<std::vector<Shape>, std::shared_ptr<const Program>> programs_;
  std::vector<std::map<std::vector<Shape>, Session>> sessions_;  // of each instance
};

class Network {
 public:
  /// Where all extents but the first are fixed, programs are compiled now. UserError for networks
  /// that cannot be served.
  Network(Graph graph, const NetworkOptions& options);

  const Signature& signature() const { return signature_; }
  /// Why requests are run one by one, for people; empty where they share runs, or may, once their
  /// shapes are known.
  const std::string& lone_because() const { return lone_because_; }
  /// The form for inputs of these shapes, which fit the signature. UserError where a request has
  /// more rows than a batch.
  std::shared_ptr<Form> form(std::span<const Tensor> inputs);

 private:
  using Key = std::vector<Shape>;
  std::shared_ptr<Form> known(const Key& key);
  std::shared_ptr<Form> keep(Key key, Graph graph, bool stacks);

  NetworkOptions options_;
  Graph graph_;
  Signature signature_;
  std::string lone_because_;
  bool may_stack_ = false;

  std::mutex mutex_;
  struct Kept {
    std::shared_ptr<Form> form;
    uint64_t used = 0;
  };
  std::map<Key, Kept> forms_;
  std::set<Key> tied_;  // shapes (rows left out) at which samples see each other
  uint64_t uses_ = 0;
};

}  // namespace espalier::serve
