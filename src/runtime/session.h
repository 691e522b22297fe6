// Running compiled programs.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ir/datum.h"
#include "runtime/profile.h"
#include "runtime/program.h"

namespace espalier {

/// One program with memory of its own: an arena for activations, allocated once, and the state.
/// Not to be used by two threads at once.
class Session {
 public:
  explicit Session(std::shared_ptr<const Program> program);
  ~Session();
  Session(Session&&) noexcept;

  const Program& program() const;
  /// Outputs for inputs given in the order of Program::input_names(). UserError when an input does
  /// not fit its type. State outputs become the state of the next run.
  std::vector<Tensor> run(std::span<const Tensor> inputs);
  std::vector<Tensor> run(std::initializer_list<Tensor> inputs) {
    return run(std::span<const Tensor>(inputs.begin(), inputs.size()));
  }
  /// The same into tensors of the output types; allocates nothing.
  void run_into(std::span<const Tensor> inputs, std::span<Tensor> outputs);

  /// A copy of the state that the graph reads through this input. Zero before the first
  /// set_state. UserError for an unknown name.
  Tensor state(const std::string& input_name) const;
  void set_state(const std::string& input_name, const Tensor& value);

  /// Times per instruction; empty unless compiled with `profile`.
  const Profile& profile() const;
  void clear_profile();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// A graph with symbolic dimensions, ready to run: compiles a program for each set of input shapes
/// it meets and keeps it. What depends on data (sizes, branches, loops, sequences) is run by a host
/// program between compiled ones (runtime/host_program.h). `run` may be called from one thread at a
/// time. State is not carried between shapes: graphs with state are trained through Session.
class Model {
 public:
  explicit Model(Graph graph, CompileOptions options = {});
  ~Model();
  Model(Model&&) noexcept;

  /// UserError where an output is a sequence or an optional; `run_data` gives those.
  std::vector<Tensor> run(std::span<const Tensor> inputs);
  std::vector<Tensor> run(std::initializer_list<Tensor> inputs) {
    return run(std::span<const Tensor>(inputs.begin(), inputs.size()));
  }
  /// The same for values of every kind.
  std::vector<Datum> run_data(std::span<const Datum> inputs);
  /// The session for these input shapes (compiled now if it is new), inputs in graph order.
  /// UserError where the network depends on data.
  Session& session(std::span<const Shape> shapes);
  const Graph& graph() const;
  /// Programs compiled so far.
  int compilations() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace espalier
