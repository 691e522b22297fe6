// Networks as dependency-free C99: one source file that holds weights, the functions of runtime/c
// it needs and a function for each network, and its header.
//
// What a network computes comes from the `emit` facets of its rooms (ir/c_writer.h). Activations
// lie in one static arena, planned as for compiled programs (runtime/memory_plan.h); weights are
// constant arrays; nothing is allocated.
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

/// A network's function: int name(const inputs.., results..).
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

  /// Adds int name(const inputs.., results..) for a graph whose types are static. UserError naming
  /// the node that has no C form, before anything is written.
  const CNetwork& add(const Graph& graph, const std::string& name);

  /// Of the file names.
  const std::string& stem() const { return file_stem_; }
  const std::vector<CNetwork>& networks() const { return networks_; }
  std::string source() const;
  std::string header() const;
  /// Of the static arena that the networks share.
  size_t arena_bytes() const;
  /// Of the constant arrays.
  size_t weight_bytes() const;

  void need(const std::string& part) override;
  std::string table(const Tensor& values, const std::string& name) override;
  CFunction function(const Graph& body) override;

 private:
  const CNetwork& append(const Graph& graph, const std::string& name);
  /// Forgets the constant arrays from number `first` on whose names `unwanted` says.
  void drop_tables(size_t first, const std::function<bool(const std::string&)>& unwanted);

  std::string file_stem_, stem_;
  CNames names_;
  std::vector<CNetwork> networks_;
  std::vector<std::string> parts_;
  std::vector<std::pair<std::string, Tensor>> tables_;
  std::map<std::pair<DType, Fingerprint>, std::string> table_names_;
  std::vector<std::string> functions_;  ///< texts, what they call before them
  std::string public_functions_;
};

}  // namespace espalier
