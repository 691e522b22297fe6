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

class ChainedLaunch : public Launch {
 public:
  ChainedLaunch(std::unique_ptr<kernels::PrimitiveCall> call,
                std::shared_ptr<const kernels::PointwiseKernel> chain, std::vector<size_t> more,
                size_t between)
      : call_(std::move(call)), chain_(std::move(chain)), more_(std::move(more)), bytes_(between) {}
  void place(std::span<const void* const> operands, std::span<void* const> results,
             void* scratch) override {
    result_ = results[0];
    between_ = bytes_ == 0 ? result_ : scratch;
    void* const to[] = {between_};
    call_->place(operands, to, static_cast<char*>(scratch) + bytes_);
    from_ = {between_};
    for (size_t i : more_) from_.push_back(operands[i]);
  }
  void run() override {
    call_->run();
    chain_->run(from_.data(), &result_);
  }

 private:
  std::unique_ptr<kernels::PrimitiveCall> call_;
  std::shared_ptr<const kernels::PointwiseKernel> chain_;
  std::vector<size_t> more_;
  std::vector<const void*> from_;
  size_t bytes_;  ///< of what lies between, at the beginning of scratch
  void* between_ = nullptr;
  void* result_ = nullptr;
};

class ChainedKernel : public Kernel {
 public:
  ChainedKernel(std::shared_ptr<const kernels::PrimitiveSequence> s,
                std::shared_ptr<const kernels::PointwiseKernel> chain, std::vector<size_t> more,
                size_t between)
      : sequence_(std::move(s)),
        chain_(std::move(chain)),
        more_(std::move(more)),
        between_((between + 63) / 64 * 64) {
    scratch_bytes = between_ + sequence_->scratch_bytes();
    packed_bytes = sequence_->kept_bytes();
  }
  std::unique_ptr<Launch> launch() const override {
    return std::make_unique<ChainedLaunch>(sequence_->call(), chain_, more_, between_);
  }

 private:
  std::shared_ptr<const kernels::PrimitiveSequence> sequence_;
  std::shared_ptr<const kernels::PointwiseKernel> chain_;
  std::vector<size_t> more_;
  size_t between_;
};

}  // namespace

KernelPtr chained_kernel(const std::string& family,
                         std::shared_ptr<const kernels::PrimitiveSequence> sequence,
                         std::shared_ptr<const kernels::PointwiseKernel> chain,
                         std::vector<size_t> more, size_t between) {
  const std::string name = family + " " + sequence->implementation() + ", pass";
  auto kernel = std::make_shared<ChainedKernel>(std::move(sequence), std::move(chain),
                                                std::move(more), between);
  kernel->name = name;
  return kernel;
}

KernelPtr sequence_kernel(const std::string& family,
                          std::shared_ptr<const kernels::PrimitiveSequence> sequence) {
  const std::string name = family + " " + sequence->implementation();
  auto kernel = std::make_shared<SequenceKernel>(std::move(sequence));
  kernel->name = name;
  return kernel;
}

}  // namespace espalier::bind
