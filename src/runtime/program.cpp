#include "runtime/program.h"

#include <utility>

#include "base/error.h"
#include "base/threads.h"
#include "ir/derive.h"
#include "kernels/simd.h"
#include "passes/fuse_by_cost.h"
#include "passes/passes.h"
#include "runtime/lower.h"

namespace espalier {

Program::Program(std::unique_ptr<const ProgramImpl> impl) : impl_(std::move(impl)) {}
Program::~Program() = default;
const std::vector<InstructionInfo>& Program::instructions() const { return impl_->infos; }
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
  graph = prepared(graph, options);
  auto impl = lower(std::move(graph), options);
  impl->threads = threads;
  impl->profile = options.profile;
  place_buffers(*impl);
  for (const Instruction& i : impl->instructions) impl->infos.push_back(i.info);
  return std::make_shared<const Program>(std::move(impl));
}

}  // namespace espalier
