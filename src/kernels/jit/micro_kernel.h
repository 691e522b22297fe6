// The innermost loops of a generated matrix product: one tile of the result held in vector
// registers while k runs, generated for its exact extents, strides and epilogue.
//
// Each element is one chain of fused multiply-adds in the order of k, started at zero and carried
// through memory exactly between blocks of k. So every tile, unrolling and blocking gives the same
// bits, and one kernel may take another's place at any time.
//
// Of 8-bit integers the operands are widened to 16 bits: a multiplication takes a pair of steps of
// k for each column and adds the two products in 32 bits (vpmaddwd), so that every sum is exact on
// any machine with AVX2. Of bf16 it takes such a pair, too, and adds its products in f32
// (vdpbf16ps, which takes what is subnormal for zero).
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/convolution.h"

namespace espalier::kernels {

/// Columns of a vector, what tiles and panels are counted in: f32 in 512 bits, which are one
/// register of AVX-512 or two of AVX2.
inline constexpr int kGemmLanes = 16;

/// The vector registers of the instruction set that code is generated for.
struct VectorRegisters {
  int count = 32;
  int lanes = kGemmLanes;  ///< f32 in each
  int per_vector() const { return kGemmLanes / lanes; }
};
inline constexpr int kMostRegisters = 32;
/// 32 of 16 lanes with AVX-512, else 16 of 8.
const VectorRegisters& vector_registers();

/// What a tile is generated for. Strides in elements, pairs of bf16 being one; k in pairs where the
/// numbers are integers or bf16.
struct MicroKernelSpec {
  /// a and b are integers of 16 bits, those of b packed, [k][column][2]; the sum ends with its
  /// first block of k. a may be read up to one pair past its end, which meets zeros of b.
  bool integers = false;
  bool bf16 = false;     ///< a and b are pairs of bf16, [k][column][2]; see multiplies_bf16
  bool windows = false;  ///< a lies in several runs of k
  DType y_type =
      DType::f32;       ///< u8 and i8 of integers alone: rounded, halves to even, and saturated
  int rows = 1;         ///< of the tile
  int vectors = 1;      ///< of the tile, each kGemmLanes columns
  int last_lanes = 16;  ///< columns in its last vector
  int unroll = 1;       ///< steps of k in the body of the loop
  int prefetch = 0;     ///< steps of k that b is fetched ahead into the first cache; 0: not at all
  /// Between the rows of a: 0 where a is packed, `packed_rows` numbers for each step of k.
  int64_t a_stride = 0;
  int packed_rows = 0;  ///< 0: as many as the tile has
  /// Between the rows of b: 0 where b is packed, `vectors` whole vectors for each step of k.
  int64_t b_stride = 0;
  int64_t c_stride = 0;             ///< between the rows of the result
  int64_t residual_stride = 0;      ///< between those of a residual; 0: as of the result
  bool bias = false;                ///< one number per column, padded to whole vectors
  float scale = 1;                  ///< of the sum, the bias included
  bool column_scales = false;       ///< one more per column, padded to whole vectors
  float largest = INFINITY;         ///< what the scaled sum is at most
  std::vector<EpilogueStep> steps;  ///< such as `inlined` accepts

  bool operator==(const MicroKernelSpec& other) const;
};

/// What it is called with.
struct MicroKernelArgs {
  const void* a = nullptr;
  const void* b = nullptr;
  void* c = nullptr;
  const float* bias = nullptr;
  const float* scales = nullptr;
  const void* residual = nullptr;
  int64_t k = 0;                     ///< of a run
  int64_t runs = 1;                  ///< of k, where there are several
  const int64_t* offsets = nullptr;  ///< bytes from a to each of them
  int64_t first = 1;                 ///< the sum starts here; 0: it goes on from what c holds
  int64_t last = 1;                  ///< the sum ends here: epilogue; 0: c takes the sum as it is
};

/// The step is part of generated code: the cheap functions of one operand, and adding a residual
/// of f32 or, to sums of integers, of 8-bit integers.
bool inlined(const EpilogueStep& step, bool integers = false);

/// Registers hold the tile's sums, a row of b, where several of them share it a number of a, and
/// with AVX2 which columns the last vector has; of integers always a pair of a, and a product.
bool tile_fits(int rows, int vectors, bool integers = false);

/// A tile that keeps the units busy whatever the extents, with two registers to spare at most.
struct RegisterTile {
  int rows, vectors;
};
RegisterTile busy_tile();

/// Whether code can be generated here: AVX-512 or AVX2, not forbidden by ESPALIER_MAX_ISA, and
/// memory that may be executed. Empty, or the reason why not.
const std::string& no_generated_kernels();

/// Whether code is generated here that multiplies pairs of bf16: AVX-512 has them, and they are not
/// forbidden.
bool multiplies_bf16();

/// Generated code; immutable, any thread may call it.
class MicroKernel {
 public:
  virtual ~MicroKernel() = default;
  void operator()(const MicroKernelArgs& args) const { run_(&args); }
  size_t code_bytes() const { return bytes_; }

 protected:
  void (*run_)(const MicroKernelArgs*) = nullptr;
  size_t bytes_ = 0;
};

/// Generates, or takes what is still held for the same specification.
std::shared_ptr<const MicroKernel> micro_kernel(const MicroKernelSpec& spec);

}  // namespace espalier::kernels
