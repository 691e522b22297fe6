#include "runtime/program.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/threads.h"
#include "ir/derive.h"
#include "kernels/simd.h"
#include "passes/fuse_by_cost.h"
#include "passes/one_sample.h"
#include "passes/passes.h"
#include "runtime/batching.h"
#include "runtime/lower.h"

namespace espalier {

Program::Program(std::unique_ptr<const ProgramImpl> impl) : impl_(std::move(impl)) {}
Program::~Program() = default;
const std::vector<InstructionInfo>& Program::instructions() const { return impl_->infos; }
int64_t Program::samples() const { return impl_->samples; }
size_t Program::arena_bytes() const { return impl_->arena_bytes; }
size_t Program::weight_bytes() const { return impl_->weight_bytes; }
size_t Program::state_bytes() const { return impl_->state_bytes; }
int Program::threads() const { return impl_->threads; }
int Program::reference_count() const { return impl_->reference_count; }
const std::vector<std::string>& Program::input_names() const { return impl_->input_names; }
const std::vector<TensorType>& Program::input_types() const { return impl_->input_types; }
const std::vector<std::string>& Program::output_names() const { return impl_->output_names; }
const std::vector<TensorType>& Program::output_types() const { return impl_->output_types; }
const std::vector<std::string>& Program::state_names() const { return impl_->state_names; }

namespace {

void refuse_dynamics(const Graph& graph) {
  for (ValueId v : graph.inputs())
    if (!graph.value(v).type.is_static()) return;  // a matter of missing shapes
  if (const std::string why = dynamics_of(graph); !why.empty())
    throw depends_on_data(graph.name, why);
}

/// What the program takes and gives, of what is to run sample by sample.
std::unique_ptr<ProgramImpl> interface_of(const Graph& graph) {
  auto impl = std::make_unique<ProgramImpl>();
  for (ValueId v : graph.inputs()) {
    impl->input_names.push_back(graph.value(v).name);
    impl->input_types.push_back(graph.value(v).tensor());
  }
  for (ValueId v : graph.outputs()) {
    impl->output_names.push_back(graph.value(v).name);
    impl->output_types.push_back(graph.value(v).tensor());
  }
  return impl;
}

void run_each(ProgramImpl& impl, Samples samples, int threads, CompileOptions options) {
  options.threads = 1;
  options.batching = Batching::kWhole;
  impl.sample = compile(std::move(samples.one), options);
  impl.samples = samples.count;
  impl.infos = impl.sample->instructions();
  impl.arena_bytes = size_t(threads) * impl.sample->arena_bytes();
  impl.weight_bytes = impl.sample->weight_bytes();
  impl.reference_count = impl.sample->reference_count();
}

/// The batch as its samples, where it should run so.
std::optional<Samples> samples_of(const Graph& graph, const Graph& prepared, int threads,
                                  Batching how) {
  if (how == Batching::kWhole) return std::nullopt;
  const int64_t count = batch_of(graph);
  if (count < std::max(2, threads)) return std::nullopt;
  if (how == Batching::kFaster && !better_by_sample(graph, prepared, count, threads))
    return std::nullopt;
  return as_samples(graph);
}

}  // namespace

Graph prepared(const Graph& graph, const CompileOptions& options) {
  Graph g = graph.compacted();
  PassOptions how;
  how.disabled = options.disabled_passes;
  run_passes(g, how);
  if (options.cost_model) passes::fuse_by_cost(g, *options.cost_model);
  g.erase_dead();
  return g.compacted();
}

std::shared_ptr<const Program> compile(Graph graph, const CompileOptions& options) {
  refuse_dynamics(graph);
  kernels::limit_instruction_set();
  const int threads = options.threads > 0 ? options.threads : num_threads();
  const ThreadScope scope(threads);  // kernels are prepared for the threads they will run on
  Graph ready = prepared(graph, options);
  auto samples = samples_of(graph, ready, threads, options.batching);
  if (samples && options.explain) options.explain(graph.name + ": the batch runs sample by sample");
  std::unique_ptr<ProgramImpl> impl = samples ? interface_of(graph) : nullptr;
  graph = {};  // and with it constants that nobody else holds
  if (samples) {
    ready = {};
    run_each(*impl, std::move(*samples), threads, options);
  } else {
    impl = lower(std::move(ready), options);
    place_buffers(*impl);
  }
  impl->threads = threads;
  impl->profile = options.profile;
  for (const Instruction& i : impl->instructions) impl->infos.push_back(i.info);
  return std::make_shared<const Program>(std::move(impl));
}

}  // namespace espalier
