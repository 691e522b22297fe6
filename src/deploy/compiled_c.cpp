#include "deploy/compiled_c.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "base/files.h"
#include "base/process.h"
#include "base/temporary_folder.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

std::string compiler() {
  const char* named = std::getenv("CC");
  return named && *named ? named : "cc";
}

/// int call_k(const void* const* in, void* const* out) for network k.
std::string calls_of(const CFile& file, const std::string& header) {
  std::string text = "#include \"" + header + "\"\n";
  for (size_t k = 0; k < file.networks().size(); ++k) {
    const CNetwork& n = file.networks()[k];
    std::string arguments;
    for (size_t i = 0; i < n.inputs.size(); ++i)
      arguments += (arguments.empty() ? "in[" : ", in[") + std::to_string(i) + "]";
    for (size_t o = 0; o < n.outputs.size(); ++o)
      arguments += (arguments.empty() ? "out[" : ", out[") + std::to_string(o) + "]";
    text += "int call_" + std::to_string(k) +
            "(const void* const* in, void* const* out);\nint call_" + std::to_string(k) +
            "(const void* const* in, void* const* out) {\n  (void)in;\n  return " + n.name + "(" +
            arguments + ");\n}\n";
  }
  if (!file.states().empty())
    text += "void call_init(void);\nvoid call_init(void) { " + file.init_function() +
            "(); }\nunsigned char* call_arena(void);\nunsigned char* call_arena(void) { return " +
            file.arena_function() + "(); }\n";
  return text;
}

}  // namespace

struct CompiledC::Library {
  using Call = int (*)(const void* const*, void* const*);
  TemporaryFolder folder{"c"};
  void* handle = nullptr;
  std::vector<Call> calls;
  void (*init)() = nullptr;
  unsigned char* arena = nullptr;

  void* symbol(const std::string& name) const {
    void* found = ::dlsym(handle, name.c_str());
    ESP_CHECK(found, "compiled C lacks the function " + name);
    return found;
  }
  ~Library() {
    if (handle) ::dlclose(handle);
  }
};

CompiledC::CompiledC(const CFile& file, const std::vector<std::string>& flags)
    : networks_(file.networks()),
      states_(file.states()),
      state_bytes_(file.state_bytes()),
      arena_bytes_(file.arena_bytes()),
      library_(std::make_unique<Library>()) {
  const fs::path& folder = library_->folder.path();
  const fs::path source = folder / (file.stem() + ".c"), calls = folder / "calls_of_it.c";
  const fs::path shared = folder / "network.so", log = folder / "log";
  write_file_atomic(source, file.source());
  write_file_atomic(folder / (file.stem() + ".h"), file.header());
  write_file_atomic(calls, calls_of(file, file.stem() + ".h"));
  std::vector<std::string> command = {compiler(), "-std=c99", "-shared", "-fPIC", "-w"};
  command.insert(command.end(), flags.begin(), flags.end());
  for (const fs::path& p : {source, calls}) command.push_back(p.string());
  command.insert(command.end(), {"-o", shared.string(), "-lm"});
  const int code = run_command({command, log, {}, {}});
  if (code == -1 || code == 127)
    throw unsupported("C compiler '" + compiler() + "'", "cannot be started",
                      "install one, or name it in CC");
  if (code != 0)
    throw unsupported("C compiler '" + compiler() + "'",
                      "refuses the exported code: " + read_file(log).substr(0, 400));
  library_->handle = ::dlopen(shared.c_str(), RTLD_NOW | RTLD_LOCAL);
  ESP_CHECK(library_->handle, std::string("compiled C does not load: ") + ::dlerror());
  for (size_t k = 0; k < networks_.size(); ++k)
    library_->calls.push_back(
        reinterpret_cast<Library::Call>(library_->symbol("call_" + std::to_string(k))));
  if (states_.empty()) return;
  library_->init = reinterpret_cast<void (*)()>(library_->symbol("call_init"));
  library_->arena = reinterpret_cast<unsigned char* (*)()>(library_->symbol("call_arena"))();
}
CompiledC::~CompiledC() = default;
CompiledC::CompiledC(CompiledC&&) noexcept = default;

int CompiledC::run_into(size_t network, std::span<const Tensor> inputs,
                        std::span<Tensor> outputs) const {
  std::vector<const void*> in;
  std::vector<void*> out;
  for (const Tensor& t : inputs) in.push_back(t.raw());
  for (Tensor& t : outputs) out.push_back(t.mutable_raw());
  return library_->calls.at(network)(in.data(), out.data());
}

std::vector<Tensor> CompiledC::run(size_t network, std::span<const Tensor> inputs) const {
  const CNetwork& n = networks_.at(network);
  ESP_CHECK(inputs.size() == n.inputs.size(), "compiled C takes another number of inputs");
  for (size_t i = 0; i < inputs.size(); ++i)
    if (TensorType(inputs[i].dtype(), inputs[i].shape()) != n.inputs[i].type)
      throw bad_input("input '" + n.inputs[i].name + "'", "is not " + to_string(n.inputs[i].type));
  std::vector<Tensor> outputs;
  for (const CArgument& a : n.outputs) outputs.emplace_back(a.type.dtype, a.type.shape());
  if (run_into(network, inputs, outputs) != 0)
    throw bad_input(n.name, "was given data it cannot handle", "an index lies outside its axis");
  return outputs;
}

void CompiledC::init() const { library_->init(); }

Tensor CompiledC::state(const std::string& name) const {
  const auto found = std::ranges::find(states_, name, &CState::name);
  ESP_CHECK(found != states_.end(), "compiled C has no state '" + name + "'");
  Tensor value(found->type.dtype, found->type.shape());
  if (value.bytes() > 0)
    std::memcpy(value.mutable_raw(), library_->arena + found->offset, value.bytes());
  return value;
}

void CompiledC::set_state(const std::string& name, const Tensor& value) const {
  const auto found = std::ranges::find(states_, name, &CState::name);
  ESP_CHECK(found != states_.end() && found->type == TensorType(value.dtype(), value.shape()),
            "compiled C has no such state '" + name + "'");
  if (value.bytes() > 0) std::memcpy(library_->arena + found->offset, value.raw(), value.bytes());
}

size_t CompiledC::touched_bytes(size_t network, std::span<const Tensor> inputs) const {
  unsigned char* arena = library_->arena;
  const std::vector<unsigned char> states(arena, arena + state_bytes_);
  size_t touched = state_bytes_;
  for (const unsigned char canary : {0xa5, 0x5a}) {
    std::fill(arena + state_bytes_, arena + arena_bytes_, canary);
    run(network, inputs);
    std::copy(states.begin(), states.end(), arena);
    for (size_t i = arena_bytes_; i > touched; --i)
      if (arena[i - 1] != canary) touched = i;
  }
  return touched;
}

}  // namespace espalier
