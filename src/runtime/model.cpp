// A program for each set of shapes, and a host program for what depends on data.
#include <algorithm>
#include <map>
#include <optional>

#include "base/error.h"
#include "ir/derive.h"
#include "ir/interpret.h"
#include "runtime/host_program.h"
#include "runtime/session.h"

namespace espalier {

struct Model::Impl {
  Graph graph;
  CompileOptions options;
  std::map<std::vector<Shape>, Session> sessions;
  int compiled = 0;
  /// Set when the graph turned out to depend on data.
  std::optional<HostProgram> host;

  /// The session for these shapes, or null where the network depends on data.
  Session* session(const std::vector<Shape>& shapes) {
    if (const auto found = sessions.find(shapes); found != sessions.end()) return &found->second;
    if (host) return nullptr;
    Graph special = specialised(graph, shapes);
    if (graph.states().empty() && !dynamics_of(special).empty()) {
      host.emplace(graph, options, compiled);
      return nullptr;
    }
    ++compiled;
    return &sessions.emplace(shapes, Session(compile(std::move(special), options))).first->second;
  }
};

Model::Model(Graph graph, CompileOptions options) : impl_(std::make_unique<Impl>()) {
  impl_->graph = std::move(graph);
  impl_->options = std::move(options);
}
Model::~Model() = default;
Model::Model(Model&&) noexcept = default;

const Graph& Model::graph() const { return impl_->graph; }
int Model::compilations() const { return impl_->compiled; }

Session& Model::session(std::span<const Shape> shapes) {
  if (Session* session = impl_->session({shapes.begin(), shapes.end()})) return *session;
  throw depends_on_data(impl_->graph.name, dynamics_of(specialised(impl_->graph, shapes)));
}

std::vector<Tensor> Model::run(std::span<const Tensor> inputs) {
  const auto tensor = [&](ValueId v) {
    return element_type_of(impl_->graph.value(v).type).has_value();
  };
  if (inputs.size() == impl_->graph.inputs().size() && !impl_->host &&
      std::ranges::all_of(impl_->graph.inputs(), tensor)) {
    std::vector<Shape> shapes;
    for (const Tensor& t : inputs) shapes.push_back(t.shape());
    if (Session* session = impl_->session(shapes)) return session->run(inputs);
  }
  return to_tensors(run_data(to_data(inputs)), impl_->graph.name);
}

std::vector<Datum> Model::run_data(std::span<const Datum> inputs) {
  check_inputs(impl_->graph, inputs);
  if (!impl_->host && std::ranges::all_of(inputs, &Datum::is_tensor)) {
    std::vector<Tensor> tensors = to_tensors(inputs, impl_->graph.name);
    std::vector<Shape> shapes;
    for (const Tensor& t : tensors) shapes.push_back(t.shape());
    if (Session* session = impl_->session(shapes)) return to_data(session->run(tensors));
  }
  if (!impl_->host) impl_->host.emplace(impl_->graph, impl_->options, impl_->compiled);
  return impl_->host->run(inputs);
}

}  // namespace espalier
