// Convolution of 3x3 windows by Winograd's minimal filtering: a tile of 4x4 results and its
// 6x6 patch of the source are polynomials, whose product needs 36 multiplications where the sum
// over taps needs 144; of 2x2 results, 16 for 36. Winograd, "Arithmetic Complexity of
// Computations", 1980; Lavin and Gray, arXiv:1509.09308. The matrix products run on generated code,
// in f32 whether images are f32 or bf16 in memory: four times fewer of them are faster than bf16's
// double rate. Of gradients in bf16 they are of pairs of bf16 where the processor multiplies such.
#pragma once

#include <memory>
#include <string>

#include "kernels/convolution.h"

namespace espalier::kernels {

/// Why this cannot compute the convolution here; empty if it can: f32 or bf16, windows of 3x3 side
/// by side, eight channels or more, and after them a residual and bounds at most.
std::string no_winograd(const ConvSpec& spec);
/// The same of a convolution's gradients.
std::string no_winograd(const ConvGradSpec& spec);

/// Results along an axis of the tiles with which it is fastest, as far as can be told from its
/// extents: 4, 2, or 0 where the sum over taps is.
int64_t winograd_tile(const ConvSpec& spec);
int64_t winograd_tile(const ConvGradSpec& spec);

/// A convolution prepared for the threads there are; immutable, any thread may run it. The bits of
/// its result do not depend on their number.
class WinogradConv {
 public:
  virtual ~WinogradConv() = default;
  /// Operands as the specification numbers them; y may lie where the residual does.
  virtual void run(const void* const* operands, void* y, void* scratch) const = 0;
  virtual size_t scratch_bytes() const = 0;
  virtual size_t packed_bytes() const = 0;
};

/// Prepare what `no_winograd` has no objection to, with tiles of 4x4 or 2x2 results. Weights that
/// come at run time are transformed at each run.
std::shared_ptr<const WinogradConv> winograd_convolution(const ConvSpec& spec, int64_t tile);
/// dx from operands dy (0) and w (1): the convolution by the windows turned round.
std::shared_ptr<const WinogradConv> winograd_grad_input(const ConvGradSpec& spec, int64_t tile);
/// dw, in rows, from operands x (0) and dy (1); which tile as `winograd_tile` says it.
std::shared_ptr<const WinogradConv> winograd_grad_weight(const ConvGradSpec& spec, int64_t tile);
int64_t winograd_weight_tile(const ConvGradSpec& spec);

}  // namespace espalier::kernels
