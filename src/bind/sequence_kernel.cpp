#include "bind/sequence_kernel.h"

namespace espalier::bind {
namespace {

class SequenceLaunch : public Launch {
 public:
  explicit SequenceLaunch(std::unique_ptr<kernels::PrimitiveCall> call) : call_(std::move(call)) {}
  void place(std::span<const void* const> operands, std::span<void* const> results,
             void* scratch) override {
    call_->place(operands, results, scratch);
  }
  void run() override { call_->run(); }

 private:
  std::unique_ptr<kernels::PrimitiveCall> call_;
};

class SequenceKernel : public Kernel {
 public:
  explicit SequenceKernel(std::shared_ptr<const kernels::PrimitiveSequence> s)
      : sequence_(std::move(s)) {
    scratch_bytes = sequence_->scratch_bytes();
    packed_bytes = sequence_->kept_bytes();
  }
  std::unique_ptr<Launch> launch() const override {
    return std::make_unique<SequenceLaunch>(sequence_->call());
  }

 private:
  std::shared_ptr<const kernels::PrimitiveSequence> sequence_;
};

}  // namespace

KernelPtr sequence_kernel(const std::string& family,
                          std::shared_ptr<const kernels::PrimitiveSequence> sequence) {
  const std::string name = family + " " + sequence->implementation();
  auto kernel = std::make_shared<SequenceKernel>(std::move(sequence));
  kernel->name = name;
  return kernel;
}

}  // namespace espalier::bind
