#include "runtime/session.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "base/threads.h"
#include "ir/interpret.h"
#include "runtime/program_impl.h"

namespace espalier {
namespace {

bool fits(const Tensor& t, const TensorType& type) {
  if (t.dtype() != type.dtype || t.rank() != type.rank()) return false;
  for (size_t d = 0; d < type.dims.size(); ++d)
    if (!type.dims[d].is(t.shape()[d])) return false;
  return true;
}

[[noreturn]] void misfit(const std::string& what, const std::string& name, const Tensor& t,
                         const TensorType& type) {
  throw bad_input(what + " '" + name + "'", "is " + to_string(TensorType(t.dtype(), t.shape())) +
                                                ", the program takes " + to_string(type));
}

/// On one thread.
class AloneLaunch final : public Launch {
 public:
  explicit AloneLaunch(std::unique_ptr<Launch> launch) : launch_(std::move(launch)) {}
  void place(std::span<const void* const> operands, std::span<void* const> results,
             void* scratch) override {
    launch_->place(operands, results, scratch);
  }
  void run() override {
    const ThreadScope one(1);
    launch_->run();
  }

 private:
  std::unique_ptr<Launch> launch_;
};

struct AlignedFree {
  void operator()(void* p) const { std::free(p); }
};

}  // namespace

struct Session::Impl {
  std::shared_ptr<const Program> program;
  const ProgramImpl* p = nullptr;
  std::unique_ptr<void, AlignedFree> arena;
  std::vector<Tensor> states;
  std::vector<std::vector<std::string>> strings;  ///< by buffer; empty for those that hold none
  std::vector<std::unique_ptr<Launch>> launches;
  std::vector<const void*> input_at;
  std::vector<void*> output_at;
  std::vector<std::vector<int>> input_users, output_users;  // instructions to place again
  std::vector<const void*> operands;                        // room for addresses
  std::vector<void*> results;
  Profile profile;
  size_t profile_next = 0;
  /// Of a batch that runs sample by sample: one for each thread.
  std::vector<std::unique_ptr<Impl>> workers;

  explicit Impl(std::shared_ptr<const Program> prog)
      : program(std::move(prog)), p(&program->impl()) {
    if (p->sample)
      share_samples();
    else
      prepare();
  }

  void prepare() {
    const size_t bytes = std::max<size_t>(64, p->arena_bytes);
    arena.reset(std::aligned_alloc(64, bytes));
    if (!arena)
      throw bad_input("memory", "activations of " + std::to_string(bytes) + " bytes do not fit",
                      "use a smaller batch or model");
    for (const TensorType& t : p->state_types) states.emplace_back(t.dtype, t.shape());
    strings.resize(p->buffers.size());
    for (size_t b = 0; b < strings.size(); ++b)
      if (p->buffers[b].place == Place::kStrings)
        strings[b].resize(p->buffers[b].bytes / sizeof(std::string));
    input_at.assign(p->input_types.size(), nullptr);
    output_at.assign(p->output_types.size(), nullptr);
    input_users.resize(input_at.size());
    output_users.resize(output_at.size());
    for (size_t i = 0; i < p->instructions.size(); ++i) {
      const Instruction& ins = p->instructions[i];
      launches.push_back(ins.kernel->launch());
      if (ins.alone) launches.back() = std::make_unique<AloneLaunch>(std::move(launches.back()));
      bool waits = false;
      for (const auto* list : {&ins.operands, &ins.results})
        for (int b : *list) {
          if (b == kNoBuffer) continue;
          const Buffer& buffer = p->buffers[size_t(b)];
          if (buffer.place == Place::kInput) input_users[size_t(buffer.index)].push_back(int(i));
          if (buffer.place == Place::kOutput) output_users[size_t(buffer.index)].push_back(int(i));
          waits = waits || buffer.place == Place::kInput || buffer.place == Place::kOutput;
        }
      if (!waits) place(int(i));
      if (p->profile)
        profile.entries.push_back({ins.info.node, ins.info.kernel, ins.info.macs, {}});
    }
    for (auto& e : profile.entries) e.microseconds.reserve(kProfileRuns);
  }

  void share_samples() {
    input_at.assign(p->input_types.size(), nullptr);
    output_at.assign(p->output_types.size(), nullptr);
    input_users.resize(input_at.size());
    output_users.resize(output_at.size());
    for (int w = 0; w < p->threads; ++w) workers.push_back(std::make_unique<Impl>(p->sample));
  }

  void* address(int b) {
    if (b == kNoBuffer) return nullptr;
    const Buffer& buffer = p->buffers[size_t(b)];
    switch (buffer.place) {
      case Place::kArena: return static_cast<char*>(arena.get()) + buffer.offset;
      case Place::kConstant: return const_cast<void*>(buffer.constant.raw());
      case Place::kInput: return const_cast<void*>(input_at[size_t(buffer.index)]);
      case Place::kOutput: return output_at[size_t(buffer.index)];
      case Place::kState: return states[size_t(buffer.index)].mutable_raw();
      case Place::kStrings: return strings[size_t(b)].data();
    }
    return nullptr;
  }

  void place(int i) {
    const Instruction& ins = p->instructions[size_t(i)];
    operands.clear();
    results.clear();
    for (int b : ins.operands) operands.push_back(address(b));
    for (int b : ins.results) results.push_back(address(b));
    launches[size_t(i)]->place(operands, results,
                               static_cast<char*>(arena.get()) + ins.scratch_offset);
  }

  void take(std::span<const Tensor> inputs, std::span<Tensor> outputs) {
    if (inputs.size() != input_at.size())
      throw bad_input("run", "the program takes " + std::to_string(input_at.size()) + " inputs, " +
                                 std::to_string(inputs.size()) + " were given");
    ESP_CHECK(outputs.size() == output_at.size(), "one tensor for each output");
    for (size_t i = 0; i < inputs.size(); ++i)
      if (!fits(inputs[i], p->input_types[i]))
        misfit("input", p->input_names[i], inputs[i], p->input_types[i]);
    for (size_t i = 0; i < outputs.size(); ++i)
      if (!fits(outputs[i], p->output_types[i]))
        misfit("output", p->output_names[i], outputs[i], p->output_types[i]);
    std::vector<const void*>& in = operands;
    std::vector<void*>& out = results;
    in.clear();
    out.clear();
    for (const Tensor& t : inputs) in.push_back(t.raw());
    for (Tensor& t : outputs) out.push_back(t.mutable_raw());
    move_to(in, out);
  }

  /// Where inputs are and outputs go from now on.
  void move_to(std::span<const void* const> inputs, std::span<void* const> outputs) {
    if (std::ranges::equal(inputs, input_at) && std::ranges::equal(outputs, output_at)) return;
    input_at.assign(inputs.begin(), inputs.end());
    output_at.assign(outputs.begin(), outputs.end());
    for (const auto* users : {&input_users, &output_users})
      for (const auto& list : *users)
        for (int i : list) place(i);
  }

  void run() {
    const ThreadScope threads(p->threads);
    if (p->sample) return run_samples();
    if (p->profile) return run_profiled();
    for (auto& launch : launches) launch->run();
  }

  void run_samples() {
    const auto n = int64_t(workers.size());
    parallel_for(n, 1, [&](int64_t begin, int64_t end) {
      for (int64_t w = begin; w < end; ++w)
        for (int64_t s = p->samples * w / n; s < p->samples * (w + 1) / n; ++s) run_sample(w, s);
    });
  }

  void run_sample(int64_t worker, int64_t sample) {
    Impl& w = *workers[size_t(worker)];
    const auto at = [&](const void* whole, const TensorType& type) {
      const auto bytes = size_t(type.numel()) * size_of(type.dtype);
      return static_cast<const char*>(whole) + size_t(sample) * bytes;
    };
    w.operands.clear();
    w.results.clear();
    for (size_t i = 0; i < input_at.size(); ++i)
      w.operands.push_back(at(input_at[i], w.p->input_types[i]));
    for (size_t i = 0; i < output_at.size(); ++i)
      w.results.push_back(const_cast<char*>(at(output_at[i], w.p->output_types[i])));
    w.move_to(w.operands, w.results);
    w.run();
  }

  /// Whose profile says where time goes.
  Impl& recorded() { return workers.empty() ? *this : *workers[0]; }

  void run_profiled() {
    using Clock = std::chrono::steady_clock;
    auto before = Clock::now();
    for (size_t i = 0; i < launches.size(); ++i) {
      launches[i]->run();
      const auto after = Clock::now();
      const float us = std::chrono::duration<float, std::micro>(after - before).count();
      auto& times = profile.entries[i].microseconds;
      if (times.size() < kProfileRuns)
        times.push_back(us);
      else
        times[profile_next % kProfileRuns] = us;
      before = after;
    }
    ++profile_next;
  }
};

Session::Session(std::shared_ptr<const Program> program)
    : impl_(std::make_unique<Impl>(std::move(program))) {}
Session::~Session() = default;
Session::Session(Session&&) noexcept = default;

const Program& Session::program() const { return *impl_->program; }

void Session::run_into(std::span<const Tensor> inputs, std::span<Tensor> outputs) {
  impl_->take(inputs, outputs);
  impl_->run();
}

std::vector<Tensor> Session::run(std::span<const Tensor> inputs) {
  std::vector<Tensor> outputs;
  for (const TensorType& t : impl_->p->output_types) outputs.emplace_back(t.dtype, t.shape());
  run_into(inputs, outputs);
  return outputs;
}

namespace {
size_t state_index(const ProgramImpl& p, const std::string& name) {
  for (size_t i = 0; i < p.state_names.size(); ++i)
    if (p.state_names[i] == name) return i;
  throw bad_input("state '" + name + "'", "the program has no state of that name");
}
}  // namespace

Tensor Session::state(const std::string& name) const {
  return impl_->states[state_index(*impl_->p, name)].clone();
}

void Session::set_state(const std::string& name, const Tensor& value) {
  const size_t i = state_index(*impl_->p, name);
  if (!fits(value, impl_->p->state_types[i]))
    misfit("state", name, value, impl_->p->state_types[i]);
  if (value.bytes() > 0) std::memcpy(impl_->states[i].mutable_raw(), value.raw(), value.bytes());
}

const Profile& Session::profile() const { return impl_->recorded().profile; }
void Session::clear_profile() {
  Impl& recorded = impl_->recorded();
  recorded.profile_next = 0;
  for (auto& e : recorded.profile.entries) e.microseconds.clear();
}

}  // namespace espalier
