#include "kernels/jit/gemm.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "base/error.h"
#include "base/threads.h"
#include "kernels/jit/cut.h"
#include "kernels/jit/micro_kernel.h"
#include "kernels/jit/pack.h"
#include "kernels/pointwise.h"

namespace espalier::kernels {

namespace {

/// Below so many multiply-accumulates a second thread costs more than it brings.
constexpr double kLeastShared = 1 << 16;

std::string step_text(const EpilogueStep& s) {
  if (s.kind == EpilogueStep::Kind::kResidual)
    return s.scale == 1 ? "residual" : "residual*" + std::to_string(s.scale);
  return "f" + std::to_string(int(s.op.code)) +
         (s.op.p0 != 0 || s.op.p1 != 0
              ? "(" + std::to_string(s.op.p0) + "," + std::to_string(s.op.p1) + ")"
              : "");
}

bool is_residual(const EpilogueStep& s) { return s.kind == EpilogueStep::Kind::kResidual; }

/// How many steps the generated code does itself: those before the first it cannot, and no second
/// residual.
size_t inlined_steps(const std::vector<EpilogueStep>& steps) {
  size_t count = 0;
  bool residual = false;
  for (const EpilogueStep& s : steps) {
    if (!inlined(s) || (residual && is_residual(s))) break;
    residual = residual || is_residual(s);
    ++count;
  }
  return count;
}

class Gemm final : public GeneratedGemm {
 public:
  Gemm(const MatmulSpec& spec, const GemmProblem& problem, const GemmTile& tile)
      : p_(problem),
        t_(tile),
        a_operand_(spec.a_operand),
        b_operand_(spec.b_operand),
        rows_(Cut::at_most(p_.m, tile.rows)),
        columns_(Cut::at_most(Cut::ceil_div(p_.n, kGemmLanes), tile.vectors)),
        inlined_(inlined_steps(p_.epilogue.steps)) {
    workers_ = p_.macs() < kLeastShared ? 1 : num_threads();
    if (t_.k_block <= 0 || t_.k_block > p_.k) t_.k_block = p_.k;
    for (size_t i = 0; i < inlined_; ++i)
      if (is_residual(p_.epilogue.steps[i])) residual_ = int(p_.epilogue.steps[i].operand);
    pack(spec);
    generate();
  }

  void run(const void* const* operands, float* c, void* scratch) const override {
    // Units of work lie in a row, matrix after matrix: tiles, or panels.
    const int64_t parts = t_.split_rows ? rows_.parts : columns_.parts;
    const Cut share{p_.batch * parts, workers_};
    parallel_chunks(workers_, [&](int64_t w) {
      auto* own = reinterpret_cast<float*>(static_cast<char*>(scratch) + w * slice_);
      const int64_t end = share.begin(w + 1);
      for (int64_t unit = share.begin(w); unit < end;) {
        const int64_t matrix = unit / parts, first = unit % parts;
        const int64_t last = std::min(parts, first + end - unit);
        const Job job = job_of(operands, c, own, matrix);
        if (t_.split_rows)
          work(job, {first, last}, {0, columns_.parts});
        else
          work(job, {0, rows_.parts}, {first, last});
        unit += last - first;
      }
    });
  }

  size_t scratch_bytes() const override { return size_t(slice_) * size_t(workers_); }
  size_t packed_bytes() const override { return weights_.bytes + bias_.size() * sizeof(float); }
  size_t code_bytes() const override {
    size_t bytes = 0;
    for (const auto& by_width : kernels_)
      for (const auto& kernel : by_width)
        if (kernel) bytes += kernel->code_bytes();
    return bytes;
  }
  // Between blocks of k the result holds sums.
  bool residual_in_place() const override {
    const auto& steps = p_.epilogue.steps;
    return t_.k_block == p_.k &&
           std::none_of(steps.begin() + int64_t(inlined_), steps.end(), is_residual);
  }
  const GemmTile& tile() const override { return t_; }

 private:
  struct Range {
    int64_t begin, end;
  };
  /// One matrix of the batch.
  struct Job {
    const void* const* operands;
    const float *a, *b;
    float* c;
    int64_t offset;  ///< of c, and of residuals
    float* packed_a;
  };

  Job job_of(const void* const* operands, float* c, float* packed_a, int64_t matrix) const {
    const auto at = [&](size_t operand) { return static_cast<const float*>(operands[operand]); };
    const int64_t offset = matrix * p_.m * p_.n;
    return {operands,
            at(a_operand_) + matrix * p_.a_batch_stride,
            weights_ ? nullptr : at(b_operand_) + matrix * p_.b_batch_stride,
            c + offset,
            offset,
            packed_a};
  }

  int64_t padded_columns() const { return Cut::ceil_div(p_.n, kGemmLanes) * kGemmLanes; }
  int64_t row_block() const {
    return t_.row_block > 0 ? std::min(t_.row_block, rows_.parts) : rows_.parts;
  }
  int64_t column_block() const {
    return t_.column_block > 0 ? std::min(t_.column_block, columns_.parts) : columns_.parts;
  }

  void pack(const MatmulSpec& spec) {
    if (p_.b_stride == 0)
      weights_ = packed_columns({static_cast<const float*>(spec.b_constant), p_.k, p_.n,
                                 spec.b_strides[0], spec.b_strides[1]},
                                columns_.parts);
    if (spec.bias) {
      bias_.assign(size_t(padded_columns()), 0);
      std::memcpy(bias_.data(), spec.bias->constant, size_t(p_.n) * sizeof(float));
    }
    if (t_.pack_a) {
      const int64_t floats = std::min(row_block() * rows_.largest(), p_.m) * t_.k_block;
      slice_ = Cut::ceil_div(floats * int64_t(sizeof(float)), 64) * 64;
    }
  }

  // Tiles are of two heights, panels of two widths, and the last panel may be narrower.
  void generate() {
    for (int64_t p = 0; p < columns_.parts; ++p) {
      need(rows_.largest(), p);
      if (p_.m % rows_.parts) need(rows_.largest() - 1, p);
    }
  }

  size_t height_index(int64_t height) const { return height == rows_.largest() ? 0 : 1; }
  size_t width_index(int64_t panel) const {
    if (panel == columns_.parts - 1 && p_.n % kGemmLanes) return 2;
    return columns_.size(panel) == columns_.largest() ? 0 : 1;
  }

  void need(int64_t height, int64_t panel) {
    auto& kernel = kernels_[height_index(height)][width_index(panel)];
    if (kernel) return;
    MicroKernelSpec s;
    s.rows = int(height);
    s.vectors = int(columns_.size(panel));
    if (width_index(panel) == 2) s.last_lanes = int(p_.n % kGemmLanes);
    s.unroll = t_.unroll;
    s.prefetch = t_.prefetch;
    s.a_stride = t_.pack_a ? 0 : p_.a_stride;
    s.b_stride = p_.b_stride;
    s.c_stride = p_.n;
    s.bias = p_.bias;
    if (!p_.epilogue.scales.empty()) s.scale = p_.epilogue.scales[0];
    s.steps.assign(p_.epilogue.steps.begin(), p_.epilogue.steps.begin() + int64_t(inlined_));
    kernel = micro_kernel(s);
  }

  void work(const Job& job, Range tiles, Range panels) const {
    for (int64_t p = panels.begin; p < panels.end; p += column_block())
      for (int64_t k = 0; k < p_.k; k += t_.k_block)
        for (int64_t t = tiles.begin; t < tiles.end; t += row_block())
          block(job, {t, std::min(t + row_block(), tiles.end)},
                {p, std::min(p + column_block(), panels.end)}, k);
  }

  // sums over [k, k + k_block) for these tiles and panels
  void block(const Job& job, Range tiles, Range panels, int64_t k) const {
    const int64_t depth = std::min(t_.k_block, p_.k - k);
    if (t_.pack_a) {
      const int64_t first = rows_.begin(tiles.begin);
      for (int64_t t = tiles.begin; t < tiles.end; ++t)
        pack_rows(job.a + rows_.begin(t) * p_.a_stride + k, p_.a_stride, rows_.size(t), depth,
                  job.packed_a + (rows_.begin(t) - first) * depth);
    }
    if (t_.rows_outer) {
      for (int64_t t = tiles.begin; t < tiles.end; ++t)
        for (int64_t p = panels.begin; p < panels.end; ++p) tile(job, tiles, t, p, k, depth);
    } else {
      for (int64_t p = panels.begin; p < panels.end; ++p)
        for (int64_t t = tiles.begin; t < tiles.end; ++t) tile(job, tiles, t, p, k, depth);
    }
    if (k + depth == p_.k) apply_rest(job, tiles, panels);
  }

  void tile(const Job& job, Range tiles, int64_t t, int64_t panel, int64_t k, int64_t depth) const {
    const int64_t row = rows_.begin(t), column = columns_.begin(panel) * kGemmLanes;
    MicroKernelArgs args;
    args.a = t_.pack_a ? job.packed_a + (row - rows_.begin(tiles.begin)) * depth
                       : job.a + row * p_.a_stride + k;
    args.b = weights_ ? weights_.as<float>() + column * p_.k + k * columns_.size(panel) * kGemmLanes
                      : job.b + column + k * p_.b_stride;
    args.c = job.c + row * p_.n + column;
    if (p_.bias) args.bias = bias_.data() + column;
    if (residual_ >= 0) args.residual = residual(job, size_t(residual_)) + row * p_.n + column;
    args.k = depth;
    args.first = k == 0;
    args.last = k + depth == p_.k;
    (*kernels_[height_index(rows_.size(t))][width_index(panel)])(args);
  }

  static const float* residual(const Job& job, size_t operand) {
    return static_cast<const float*>(job.operands[operand]) + job.offset;
  }

  // The steps that generated code leaves, while the block is in a cache.
  void apply_rest(const Job& job, Range tiles, Range panels) const {
    const auto& steps = p_.epilogue.steps;
    if (inlined_ == steps.size()) return;
    const int64_t column = columns_.begin(panels.begin) * kGemmLanes;
    const int64_t end = std::min(p_.n, columns_.begin(panels.end) * kGemmLanes);
    for (int64_t r = rows_.begin(tiles.begin); r < rows_.begin(tiles.end); ++r) {
      float* row = job.c + r * p_.n + column;
      for (size_t s = inlined_; s < steps.size(); ++s)
        if (is_residual(steps[s]))
          add_scaled(residual(job, steps[s].operand) + r * p_.n + column, steps[s].scale, row,
                     size_t(end - column));
        else
          apply_scalar(steps[s].op, row, row, size_t(end - column));
    }
  }

  GemmProblem p_;
  GemmTile t_;
  size_t a_operand_, b_operand_;
  Cut rows_, columns_;  // tiles of rows; panels of vectors
  size_t inlined_;
  int residual_ = -1;  // the operand that generated code adds
  int64_t workers_ = 1, slice_ = 0;
  PackedWeight weights_;  ///< empty where they come at run time
  std::vector<float> bias_;
  std::array<std::array<std::shared_ptr<const MicroKernel>, 3>, 2> kernels_;
};

}  // namespace

std::string GemmProblem::text() const {
  const auto number = [](const char* name, int64_t value) { return name + std::to_string(value); };
  std::string s = number("", m) + number("x", n) + number("x", k);
  if (batch != 1) s = number("", batch) + " of " + s;
  if (convolution) s += " conv";
  if (a_stride != k) s += number(" a", a_stride);
  if (b_stride != 0) s += number(" b", b_stride);
  if (batch != 1 && a_batch_stride != m * a_stride) s += number(" a-next", a_batch_stride);
  if (batch != 1 && b_batch_stride != k * b_stride) s += number(" b-next", b_batch_stride);
  if (bias) s += " bias";
  for (float scale : epilogue.scales) s += " scale" + std::to_string(scale);
  for (const EpilogueStep& step : epilogue.steps) s += " " + step_text(step);
  return s;
}

std::string GemmTile::text() const {
  std::string s = std::to_string(rows) + "x" + std::to_string(vectors * kGemmLanes) + " unroll " +
                  std::to_string(unroll);
  if (k_block > 0) s += " k " + std::to_string(k_block);
  if (row_block > 0) s += " rows " + std::to_string(row_block);
  if (column_block > 0) s += " columns " + std::to_string(column_block);
  if (prefetch > 0) s += " prefetch " + std::to_string(prefetch);
  if (rows_outer) s += " rows-outer";
  if (pack_a) s += " packed";
  return s + (split_rows ? " split-rows" : "");
}

bool legal(const GemmTile& t) {
  return tile_fits(t.rows, t.vectors) && t.unroll >= 1 && t.unroll <= 16 && t.prefetch >= 0 &&
         t.prefetch <= 1024 && t.k_block >= 0 && t.row_block >= 0 && t.column_block >= 0;
}

namespace {

/// Elements from one matrix of an operand to the next: all leading axes at one pace, or the same
/// matrix for all.
std::optional<int64_t> batch_stride(const Shape& shape, const std::vector<int64_t>& strides,
                                    const Shape& result) {
  const size_t outer = result.size() - 2;
  if (product(shape, 0, outer) == 1) return 0;
  if (!std::equal(shape.begin(), shape.begin() + int64_t(outer), result.begin()))
    return std::nullopt;
  int64_t pace = 0, behind = 1;
  for (size_t d = outer; d-- > 0; behind *= shape[d]) {
    if (shape[d] == 1) continue;
    if (pace == 0) pace = strides[d] / behind;
    if (strides[d] != pace * behind) return std::nullopt;
  }
  return pace;
}

}  // namespace

std::variant<GemmProblem, std::string> gemm_problem(const MatmulSpec& s) {
  if (s.a_type != DType::f32 || s.b_type != DType::f32 || s.y_type != DType::f32)
    return "generated code is for f32";
  const size_t rank = s.y.size();
  if (rank < 2 || s.a.size() != rank || s.b.size() != rank) return "the ranks differ";
  if (numel(s.a) == 0 || numel(s.b) == 0) return "a tensor is empty";
  GemmProblem p;
  p.batch = product(s.y, 0, rank - 2);
  p.m = s.a[rank - 2];
  p.k = s.a[rank - 1];
  p.n = s.b[rank - 1];
  p.a_stride = s.a_strides[rank - 2];
  if (s.a_strides[rank - 1] != 1) return "the first operand is transposed";
  if (s.b_constant) {
    if (rank != 2) return "the known operand is several matrices";
  } else {
    p.b_stride = s.b_strides[rank - 2];
    if (s.b_strides[rank - 1] != 1 || p.b_stride <= 0) return "the second operand is transposed";
  }
  const auto a_next = batch_stride(s.a, s.a_strides, s.y);
  const auto b_next = batch_stride(s.b, s.b_strides, s.y);
  if (!a_next || !b_next) return "matrices are broadcast";
  p.a_batch_stride = *a_next;
  p.b_batch_stride = *b_next;
  if (s.bias && (s.bias->type != DType::f32 || !s.bias->constant || numel(s.bias->shape) != p.n))
    return "the bias is not one known number per column";
  p.bias = s.bias.has_value();
  if (s.epilogue.scales.size() > 1) return "the sum has several scales";
  for (const EpilogueStep& step : s.epilogue.steps)
    if (is_residual(step) ? step.residual_type != DType::f32 : operands_of(step.op.code) != 1)
      return "what follows is no function of one f32 number";
  p.epilogue = s.epilogue;
  // Displacements of generated instructions have 32 bits.
  const int64_t reach = (int64_t{1} << 30) / kMostRegisters / int64_t(sizeof(float));
  if (p.a_stride > reach || p.b_stride > reach || p.n > reach) return "a row is too long";
  return p;
}

std::shared_ptr<const GeneratedGemm> generate_gemm(const MatmulSpec& spec, const GemmTile& tile) {
  const auto problem = gemm_problem(spec);
  ESP_CHECK(std::holds_alternative<GemmProblem>(problem), std::get<std::string>(problem));
  ESP_CHECK(no_generated_kernels().empty(), no_generated_kernels());
  ESP_CHECK(legal(tile), "tile " + tile.text() + " is legal");
  return std::make_shared<const Gemm>(spec, std::get<GemmProblem>(problem), tile);
}

}  // namespace espalier::kernels
