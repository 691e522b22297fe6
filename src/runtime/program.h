// A graph compiled for this machine: kernels bound, layouts chosen, memory planned. A program is
// immutable and may be shared between sessions; see runtime/session.h for running it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace espalier {

class CostModel;
class KernelChoices;

/// How a batch is run.
enum class Batching : uint8_t {
  kFaster,   ///< the one of the others that should be faster (runtime/batching.h)
  kWhole,    ///< each node for the whole batch, all threads at one node
  kSamples,  ///< all nodes for one sample, then the next, each thread samples of its own; as a
             ///< whole where samples are not independent (passes/one_sample.h) or fewer than
             ///< threads
};

struct CompileOptions {
  /// Threads the program runs on; 0: num_threads() at compile time.
  int threads = 0;
  /// UserError (unsupported) naming the node and the reasons when a node is left to the reference.
  bool strict = false;
  /// Called with one line for each kernel that does not apply, and why.
  std::function<void(const std::string&)> explain;
  std::vector<std::string> disabled_passes;
  Batching batching = Batching::kFaster;
  /// Sessions record the time of each instruction.
  bool profile = false;
  /// Decides which regions stay fused (passes/fuse_by_cost.h); null: all do.
  std::shared_ptr<const CostModel> cost_model;
  /// Where generated kernels serve and how they are cut (runtime/tuned_kernels.h); null: nowhere.
  std::shared_ptr<const KernelChoices> choices;
};

/// One step of a program, for people: what runs, for which node, at which cost.
struct InstructionInfo {
  std::string node;    ///< "Conv 'layer1.0.conv1'"
  std::string kernel;  ///< "onednn.conv brgconv:avx512_core"
  double macs = 0;     ///< multiply-accumulates
  double bytes = 0;    ///< memory read and written by a perfect kernel
  bool reference = false;
  /// The node of `prepared` it serves, alone or with others; kNoNode for copies and reorders.
  NodeId origin = kNoNode;
};

struct ProgramImpl;

class Program {
 public:
  explicit Program(std::unique_ptr<const ProgramImpl> impl);
  ~Program();

  /// Of a batch that runs sample by sample: those of one sample.
  const std::vector<InstructionInfo>& instructions() const;
  /// How often the instructions run; 1 but for such a batch.
  int64_t samples() const;
  /// Bytes a session allocates for activations and scratch memory: the planned peak is what is
  /// allocated, and kernels allocate nothing beside it (the reference excepted).
  size_t arena_bytes() const;
  /// Constants kept by the program: packed weights and whatever stays in its plain form.
  size_t weight_bytes() const;
  /// State buffers each session holds.
  size_t state_bytes() const;
  int threads() const;
  /// Instructions left to the reference.
  int reference_count() const;

  /// Inputs that `Session::run` takes (state inputs are not among them), in graph order.
  const std::vector<std::string>& input_names() const;
  const std::vector<TensorType>& input_types() const;
  const std::vector<std::string>& output_names() const;
  const std::vector<TensorType>& output_types() const;
  const std::vector<std::string>& state_names() const;  ///< names of the state inputs

  const ProgramImpl& impl() const { return *impl_; }

 private:
  std::unique_ptr<const ProgramImpl> impl_;
};

/// The graph that `compile` binds kernels to: a copy, its default passes run, without holes.
Graph prepared(const Graph& graph, const CompileOptions& options = {});

/// Compiles a graph whose types are all static (see `specialised`); passes are run first. Whoever
/// moves the graph in saves memory: constants that nobody else holds go as kernels take them over.
/// UserError names a node that nothing can run.
std::shared_ptr<const Program> compile(Graph graph, const CompileOptions& options = {});

}  // namespace espalier
