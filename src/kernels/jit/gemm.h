// Matrix products by code generated for exactly these extents: f32, a constant b packed, bias and
// pointwise steps applied while the result is near.
//
//   c[batch, M, N] = steps(a[batch, M, K] b[batch, K, N] + bias[N])
//
// How it is blocked is a GemmTile; the result's bits do not depend on it, nor on the number of
// threads (kernels/jit/micro_kernel.h says why).
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <string>
#include <variant>

#include "kernels/convolution.h"

namespace espalier::kernels {

/// What is computed, whatever the numbers in b: what a tile is chosen for.
struct GemmProblem {
  int64_t batch = 1, m = 0, n = 0, k = 0;
  int64_t a_stride = 0;        ///< elements between rows of a
  int64_t b_stride = 0;        ///< elements between rows of b; 0: a constant, packed
  int64_t a_batch_stride = 0;  ///< elements between matrices
  int64_t b_batch_stride = 0;
  bool bias = false;
  Epilogue epilogue;         ///< no scale or one
  bool convolution = false;  ///< of one pixel, which other kernels compute as such; b transposed

  double macs() const { return double(batch) * double(m) * double(n) * double(k); }
  /// "128x1024x256 bias f16": equal texts, equal problems.
  std::string text() const;
};

/// How a product is cut.
struct GemmTile {
  int rows = 6, vectors = 1;  ///< of the result in registers; the most of each
  int unroll = 4;             ///< steps of k in the inner loop
  int prefetch = 0;           ///< steps of k that b is fetched ahead; 0: left to the hardware
  int64_t k_block = 0;        ///< steps of k until the sums go back to memory; 0: all
  int64_t row_block = 0;      ///< tiles of rows that meet a panel of b before the next; 0: all
  int64_t column_block = 0;   ///< panels of b that meet a block of rows before the next; 0: all
  bool rows_outer = false;    ///< a tile of rows goes through all panels of its block, not the
                              ///< panel through all tiles
  bool pack_a = false;        ///< a is copied so that the inner loop reads it in order
  bool split_rows = false;    ///< threads take rows of the result, not columns

  auto operator<=>(const GemmTile&) const = default;
  /// "13x2 u4 k256 columns packed": for people.
  std::string text() const;
};

/// Every kernel can be generated: the tile fits the registers, and nothing is negative.
bool legal(const GemmTile& tile);

/// A matrix product as a problem, or why generated code does not serve it.
std::variant<GemmProblem, std::string> gemm_problem(const MatmulSpec& spec);

/// A product prepared for the threads there are; immutable, any thread may run it.
class GeneratedGemm {
 public:
  virtual ~GeneratedGemm() = default;
  /// Operands as the specification numbers them. c may lie where a residual does if
  /// `residual_in_place`.
  virtual void run(const void* const* operands, float* c, void* scratch) const = 0;
  virtual size_t scratch_bytes() const = 0;
  /// The weights in the kernel's own order, shared with equal ones.
  virtual size_t packed_bytes() const = 0;
  virtual size_t code_bytes() const = 0;
  virtual bool residual_in_place() const = 0;
  virtual const GemmTile& tile() const = 0;
};

/// Generates what `gemm_problem` accepts. The tile must be legal.
std::shared_ptr<const GeneratedGemm> generate_gemm(const MatmulSpec& spec, const GemmTile& tile);

}  // namespace espalier::kernels
