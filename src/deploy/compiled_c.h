// Exported C compiled with the system's compiler and loaded into this process: how it is checked
// and timed.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "deploy/c_file.h"

namespace espalier {

class CompiledC {
 public:
  /// UserError where there is no C compiler ($CC, else cc), or it refuses what it is given.
  /// `flags` follow -std=c99.
  explicit CompiledC(const CFile& file, const std::vector<std::string>& flags = {"-O3"});
  ~CompiledC();
  CompiledC(CompiledC&&) noexcept;

  /// Results of one network for its inputs, which must be of its types; UserError where it says
  /// that data cannot be handled.
  std::vector<Tensor> run(size_t network, std::span<const Tensor> inputs) const;
  /// The same into tensors of the right types; 0 where that worked.
  int run_into(size_t network, std::span<const Tensor> inputs, std::span<Tensor> outputs) const;

  /// Gives states their first values. Files without states have none of these.
  void init() const;
  /// A copy of a state, by name.
  Tensor state(const std::string& name) const;
  void set_state(const std::string& name, const Tensor& value) const;
  /// Bytes of the arena up to the last that a run of the network writes to, states included: the
  /// run is made twice, each time over scratch memory filled with another byte. Leaves the states
  /// as they were.
  size_t touched_bytes(size_t network, std::span<const Tensor> inputs) const;

 private:
  struct Library;
  std::vector<CNetwork> networks_;
  std::vector<CState> states_;
  size_t state_bytes_ = 0, arena_bytes_ = 0;
  std::unique_ptr<Library> library_;
};

}  // namespace espalier
