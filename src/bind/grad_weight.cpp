// espalier.ConvGradWeight(x, dy, shape of w) by oneDNN.
//
// oneDNN's own parallel form reduces one partial sum per thread behind barriers that spin inside
// generated code: bits depend on the thread count, and a busy neighbour costs a scheduler tick per
// barrier. Here the batch is cut into parts whose number depends on shapes alone; each part is a
// primitive for one thread, parts run side by side, and their results are added in order.
#include "base/threads.h"
#include "bind/convolution.h"
#include "bind/sequence_kernel.h"

namespace espalier::bind {
namespace {

constexpr int64_t kMostParts = 16;
constexpr int64_t kFewestImages = 4;
constexpr size_t kMostPartialBytes = size_t{16} << 20;

size_t aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

/// How many equal parts the batch is cut into; 1 leaves it whole.
int64_t parts_of(int64_t images, size_t weight_bytes) {
  for (int64_t parts = kMostParts; parts > 1; --parts)
    if (images % parts == 0 && images / parts >= kFewestImages &&
        size_t(parts) * weight_bytes <= kMostPartialBytes)
      return parts;
  return 1;
}

struct Split {
  std::shared_ptr<const kernels::PrimitiveSequence> part;
  int64_t parts = 1;
  size_t x_bytes = 0, y_bytes = 0;  ///< of one part
  int64_t weights = 0;              ///< elements
  DType result = DType::f32;

  size_t partial_bytes() const { return aligned(size_t(weights) * sizeof(float)); }
  size_t scratch_bytes() const {
    return size_t(parts) * (partial_bytes() + aligned(part->scratch_bytes()));
  }
};

class SplitLaunch : public Launch {
 public:
  explicit SplitLaunch(const Split& s) : s_(s) {
    for (int64_t i = 0; i < s.parts; ++i) calls_.push_back(s.part->call());
  }

  void place(std::span<const void* const> operands, std::span<void* const> results,
             void* scratch) override {
    partials_ = static_cast<char*>(scratch);
    result_ = results[0];
    char* own = partials_ + size_t(s_.parts) * s_.partial_bytes();
    for (size_t i = 0; i < calls_.size(); ++i) {
      const void* const in[] = {static_cast<const char*>(operands[0]) + i * s_.x_bytes,
                                static_cast<const char*>(operands[1]) + i * s_.y_bytes};
      void* const out[] = {partials_ + i * s_.partial_bytes()};
      calls_[i]->place(in, out, own + i * aligned(s_.part->scratch_bytes()));
    }
  }

  void run() override {
    parallel_chunks(s_.parts, [&](int64_t i) { calls_[size_t(i)]->run(); });
    constexpr int64_t kGrain = 4096;
    parallel_for(s_.weights, kGrain, [&](int64_t begin, int64_t end) { add(begin, end); });
  }

 private:
  void add(int64_t begin, int64_t end) {
    auto* sum = reinterpret_cast<float*>(partials_);
    for (int64_t p = 1; p < s_.parts; ++p) {
      const auto* part = reinterpret_cast<const float*>(partials_ + size_t(p) * s_.partial_bytes());
      for (int64_t i = begin; i < end; ++i) sum[i] += part[i];
    }
    if (s_.result == DType::f32)
      std::copy(sum + begin, sum + end, static_cast<float*>(result_) + begin);
    else
      for (int64_t i = begin; i < end; ++i) static_cast<bfloat16*>(result_)[i] = bfloat16(sum[i]);
  }

  Split s_;
  std::vector<std::unique_ptr<kernels::PrimitiveCall>> calls_;
  char* partials_ = nullptr;
  void* result_ = nullptr;
};

class SplitKernel : public Kernel {
 public:
  explicit SplitKernel(Split s) : split_(std::move(s)) {
    scratch_bytes = split_.scratch_bytes();
    packed_bytes = split_.part->kept_bytes();
  }
  std::unique_ptr<Launch> launch() const override { return std::make_unique<SplitLaunch>(split_); }

 private:
  Split split_;
};

Bound whole_batch(const kernels::ConvGradSpec& spec) {
  auto prepared = kernels::prepare_convolution_grad_weight(spec);
  if (!prepared.sequence) return Refuse{prepared.refusal};
  auto kernel = sequence_kernel("onednn.conv_grad_weight", std::move(prepared.sequence));
  kernel->thread_exact = false;  // one partial sum for each thread
  return kernel;
}

}  // namespace

void set_grad_weight_layouts(Kernel& kernel) {
  kernel.operand_layouts = {Layout::kChannelsLast, Layout::kChannelsLast, Layout::kPlain};
  kernel.absorbed = {2};
}

Bound bind_grad_weight(const BindRequest& r) {
  auto spec = gradient_spec(r, r.in_shape(0), r.out_shape(0), r.in_shape(1), r.out_dtype(0));
  if (auto* no = std::get_if<Refuse>(&spec)) return *no;
  auto s = std::get<kernels::ConvGradSpec>(std::move(spec));
  const int64_t weights = numel(s.w), parts = parts_of(s.x[0], size_t(weights) * sizeof(float));
  Bound bound = Refuse{""};
  if (parts == 1 || !dense_float(s.weight_type)) {
    bound = whole_batch(s);
  } else {
    Split split{nullptr, parts, 0, 0, weights, s.weight_type};
    s.x[0] /= parts;
    s.y[0] /= parts;
    s.weight_type = DType::f32;
    split.x_bytes = size_t(numel(s.x)) * size_of(s.type);
    split.y_bytes = size_t(numel(s.y)) * size_of(s.type);
    const ThreadScope one(1);
    auto prepared = kernels::prepare_convolution_grad_weight(s);
    if (!prepared.sequence) return Refuse{prepared.refusal};
    const std::string name = "onednn.conv_grad_weight " + prepared.sequence->implementation() +
                             " in " + std::to_string(parts) + " parts";
    split.part = std::move(prepared.sequence);
    auto kernel = std::make_shared<SplitKernel>(std::move(split));
    kernel->name = name;
    bound = kernel;
  }
  if (auto* kernel = std::get_if<KernelPtr>(&bound)) set_grad_weight_layouts(**kernel);
  return bound;
}

}  // namespace espalier::bind
