#include "runtime/product_timer.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>

#include "base/rng.h"
#include "base/threads.h"
#include "kernels/primitive.h"
#include "runtime/timing.h"
#include "tensor/tensor.h"

namespace espalier {

namespace {

using kernels::GemmProblem;
using kernels::MatmulSpec;
using Clock = std::chrono::steady_clock;

constexpr int64_t kMostWeights = 8;
constexpr size_t kOperands = 4;  // a, b, bias, residual
constexpr size_t kResidual = 3;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

Tensor drawn(int64_t count, const Rng& rng) {
  Tensor t(DType::f32, {count});
  for (int64_t i = 0; i < count; ++i)
    t.mutable_data<float>()[i] = float(rng.uniform(uint64_t(i), -1, 1));
  return t;
}

/// Numbers from the first of the first matrix to the last of the last.
int64_t extent(int64_t batch, int64_t pace, int64_t rows, int64_t stride, int64_t columns) {
  return (batch - 1) * pace + (rows - 1) * stride + columns;
}

/// Scratch memory that starts at a line.
class Scratch {
 public:
  void* of(size_t bytes) {
    if (bytes + 64 > bytes_.size()) bytes_.resize(bytes + 64);
    return reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(bytes_.data()) + 63) &
                                   ~uintptr_t{63});
  }

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace

struct ProductTimer::Impl {
  GemmProblem problem;
  int threads;
  Tensor a, bias, residual, y;
  std::vector<Tensor> weights;
  Scratch scratch, other_scratch;
  /// Kept until the next are there: weights packed alike are not packed again.
  std::vector<std::shared_ptr<const kernels::GeneratedGemm>> generated;
  kernels::GemmTile held;
  std::vector<std::unique_ptr<kernels::PrimitiveCall>> other;
  std::vector<std::shared_ptr<const kernels::PrimitiveSequence>> sequences;

  Impl(const GemmProblem& p, int n, double weights_in_turn, uint64_t seed)
      : problem(p), threads(n) {
    const Rng rng(seed, stream_of("tuned products"));
    a = drawn(extent(p.batch, p.a_batch_stride, p.m, p.a_stride, p.k), rng.fork(0));
    bias = drawn(p.n, rng.fork(1));
    residual = drawn(p.batch * p.m * p.n, rng.fork(2));
    y = Tensor(DType::f32, {p.batch * p.m * p.n});
    const int64_t numbers =
        p.b_stride == 0 ? p.k * p.n : extent(p.batch, p.b_batch_stride, p.k, p.b_stride, p.n);
    const double bytes = double(numbers) * sizeof(float);
    const int64_t copies =
        p.b_stride > 0
            ? 1
            : std::clamp<int64_t>(int64_t(std::ceil(weights_in_turn / bytes)), 1, kMostWeights);
    for (int64_t i = 0; i < copies; ++i)
      weights.push_back(drawn(numbers, rng.fork(uint64_t(10 + i))));
  }

  MatmulSpec spec(size_t weight) const {
    const GemmProblem& p = problem;
    MatmulSpec s;
    s.a = {p.m, p.k};
    s.b = {p.k, p.n};
    s.y = {p.m, p.n};
    s.a_strides = {p.a_stride, 1};
    s.b_strides = {p.b_stride == 0 ? p.n : p.b_stride, 1};
    if (p.convolution) s.b_strides = {1, p.k};
    if (p.batch > 1) {
      const auto outer = [&](Shape& shape, std::vector<int64_t>& strides, int64_t pace) {
        shape.insert(shape.begin(), pace == 0 ? 1 : p.batch);
        strides.insert(strides.begin(), pace == 0 ? strides[0] * shape[1] : pace);
      };
      outer(s.a, s.a_strides, p.a_batch_stride);
      outer(s.b, s.b_strides, p.b_batch_stride);
      s.y.insert(s.y.begin(), p.batch);
    }
    if (p.b_stride == 0) s.b_constant = weights[weight].raw();
    if (p.bias) {
      Shape shape(s.y.size(), 1);
      shape.back() = p.n;
      s.bias = kernels::Weight{DType::f32, shape, bias.raw(), 2};
    }
    s.epilogue = p.epilogue;
    for (auto& step : s.epilogue.steps) step.operand = kResidual;
    return s;
  }

  /// The convolution that the product is, over a row of pixels.
  kernels::ConvSpec convolution_spec(size_t weight) const {
    const GemmProblem& p = problem;
    kernels::ConvSpec s;
    s.x = {1, p.k, 1, p.m};
    s.y = {1, p.n, 1, p.m};
    s.geometry = {{1, 1}, {1, 1}, {0, 0}, {0, 0}, 1};
    s.weight = {DType::f32, {p.n, p.k, 1, 1}, weights[weight].raw(), 1};
    if (p.bias) s.bias = kernels::Weight{DType::f32, {p.n}, bias.raw(), 2};
    s.epilogue = spec(weight).epilogue;
    return s;
  }

  bool holds(const kernels::GemmTile& tile) const { return !generated.empty() && held == tile; }

  void prepare(const kernels::GemmTile& tile) {
    held = tile;
    std::vector<std::shared_ptr<const kernels::GeneratedGemm>> next;
    for (size_t i = 0; i < weights.size(); ++i)
      next.push_back(kernels::generate_gemm(spec(i), tile));
    generated = std::move(next);
  }

  void prepare_other() {
    if (!other.empty()) return;
    for (size_t i = 0; i < weights.size(); ++i) {
      auto prepared = problem.convolution ? kernels::prepare_convolution(convolution_spec(i))
                                          : kernels::prepare_matmul(spec(i));
      if (!prepared.sequence) return;
      sequences.push_back(prepared.sequence);
      other.push_back(prepared.sequence->call());
      const auto in = operands(i, true);
      void* out = y.mutable_raw();
      other.back()->place(in, {&out, 1}, other_scratch.of(prepared.sequence->scratch_bytes()));
    }
  }

  /// What is added to the result lies where the result does, if the kernel allows that.
  std::array<const void*, kOperands> operands(size_t weight, bool in_place) const {
    return {a.raw(), weights[weight].raw(), bias.raw(), in_place ? y.raw() : residual.raw()};
  }

  /// All weights once.
  void run_generated() {
    for (size_t i = 0; i < generated.size(); ++i)
      generated[i]->run(operands(i, generated[i]->residual_in_place()).data(),
                        y.mutable_data<float>(), scratch.of(generated[i]->scratch_bytes()));
  }
  void run_other() {
    for (auto& call : other) call->run();
  }
};

ProductTimer::ProductTimer(const GemmProblem& problem, int threads, double weights_in_turn,
                           uint64_t seed)
    : impl_(std::make_unique<Impl>(problem, threads, weights_in_turn, seed)) {}
ProductTimer::~ProductTimer() = default;

double ProductTimer::quick_ms(const kernels::GemmTile& tile, double seconds) {
  const ThreadScope scope(impl_->threads);
  impl_->prepare(tile);
  impl_->run_generated();
  double best = INFINITY;
  const auto start = Clock::now();
  for (int runs = 0; runs < 2 || seconds_since(start) < seconds; ++runs) {
    const auto before = Clock::now();
    impl_->run_generated();
    best = std::min(best, seconds_since(before));
  }
  return best * 1e3 / double(impl_->weights.size());
}

ProductTimer::Round ProductTimer::round(const kernels::GemmTile& tile, double seconds) {
  const ThreadScope scope(impl_->threads);
  if (!impl_->holds(tile)) impl_->prepare(tile);
  impl_->prepare_other();
  std::vector<std::function<void()>> contenders = {[&] { impl_->run_generated(); }};
  if (!impl_->other.empty()) contenders.emplace_back([&] { impl_->run_other(); });
  const auto times = time_alternating(
      contenders, {.rounds = 1, .seconds_per_turn = seconds, .least_runs = 3, .warmup_runs = 1});
  const auto weights = double(impl_->weights.size());
  Round r{times[0].median_ms / weights, std::nullopt};
  if (times.size() > 1) r.other_ms = times[1].median_ms / weights;
  return r;
}

}  // namespace espalier
