// Networks as dependency-free C99: one source file that holds weights, the functions of runtime/c
// it needs and a function for each network, and its header.
//
// What a network computes comes from the `emit` facets of its rooms (ir/c_writer.h). Activations
// lie in one static arena, planned as for compiled programs (runtime/memory_plan.h); weights are
// constant arrays; nothing is allocated. What lasts from call to call (the parameters that a
// training step changes, moments) lies at the arena's begin and is shared by all networks of the
// file.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/fingerprint.h"
#include "deploy/c_names.h"
#include "ir/c_writer.h"

namespace espalier {

/// One tensor of a network's function.
struct CArgument {
  std::string name;        ///< of the value in the graph
  std::string identifier;  ///< of the parameter
  TensorType type;
};

/// A tensor of the file that lasts from call to call.
struct CState {
  std::string name;        ///< of the inputs that read it
  std::string identifier;  ///< in the file
  TensorType type;
  size_t offset = 0;  ///< in the arena, in bytes
};

/// A network's function: int name(const inputs.., results..). Inputs that are states are no
/// parameters.
struct CNetwork {
  std::string name;
  std::vector<CArgument> inputs, outputs;
  size_t arena_bytes = 0;
  double macs = 0;
};

class CFile : public CModule {
 public:
  /// `stem` names the file: stem.c includes "stem.h".
  explicit CFile(const std::string& stem);

  /// A state with its first values, before any network is added: inputs of that name are it, and
  /// the graph's state pairs say what it becomes.
  void keep(const std::string& name, const Tensor& first);
  /// Adds int name(const inputs.., results..) for a graph whose types are static. UserError naming
  /// the node that has no C form, before anything is written.
  const CNetwork& add(const Graph& graph, const std::string& name);

  /// Of the file names.
  const std::string& stem() const { return file_stem_; }
  const std::vector<CNetwork>& networks() const { return networks_; }
  const std::vector<CState>& states() const { return states_; }
  /// void init(void), which gives states their first values, and unsigned char* arena(void).
  std::string init_function() const { return stem_ + "_init"; }
  std::string arena_function() const { return stem_ + "_arena"; }
  std::string source() const;
  std::string header() const;
  /// Of the static arena that the networks share, states included.
  size_t arena_bytes() const;
  /// Of the states, at its begin.
  size_t state_bytes() const { return state_bytes_; }
  /// Of the constant arrays, first values of states included.
  size_t weight_bytes() const;

  void need(const std::string& part) override;
  std::string table(const Tensor& values, const std::string& name) override;
  CFunction function(const Graph& body) override;

 private:
  const CNetwork& append(const Graph& graph, const std::string& name);
  /// The state that an input of that name is; null for none.
  const CState* state(const std::string& name) const;
  std::string state_header() const;
  /// Forgets the constant arrays from number `first` on whose names `unwanted` says.
  void drop_tables(size_t first, const std::function<bool(const std::string&)>& unwanted);

  std::string file_stem_, stem_;
  CNames names_;
  std::vector<CNetwork> networks_;
  std::vector<CState> states_;
  size_t state_bytes_ = 0;
  std::vector<std::string> parts_;
  std::vector<std::pair<std::string, Tensor>> tables_;
  std::map<std::pair<DType, Fingerprint>, std::string> table_names_;
  std::vector<std::string> functions_;  ///< texts, what they call before them
  std::string first_values_;            ///< statements of the function that begins
  std::string public_functions_;
};

}  // namespace espalier
