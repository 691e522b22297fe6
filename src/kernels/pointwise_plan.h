// A pointwise chain with its loops worked out; private to the pointwise kernels.
#pragma once

#include "kernels/pointwise.h"

namespace espalier::kernels {

struct PointwiseKernel::Plan {
  /// How an operand is brought into a tile.
  enum class Access : uint8_t {
    kDirect,   ///< contiguous f32: read where it lies
    kConvert,  ///< contiguous, other types
    kTile,     ///< the same for every tile: filled once
    kWalk,     ///< row by row
  };
  struct Operand {
    DType type;
    Access access;
    std::vector<int64_t> strides;  ///< in `shape`
    int slot = -1;                 ///< tile buffer, unless direct
  };
  struct Step {
    ScalarOp op;
    int args[3];
    int slot = -1;         ///< tile buffer of the result …
    int into_result = -1;  ///< … or the f32 result it is written to directly
  };
  struct Store {
    int value;
    DType type;
    float for_nan;
    bool direct;  ///< the last step writes it
  };
  Shape shape;  ///< dimensions merged where all operands allow
  int64_t count = 0, tile = 0;
  int slots = 0;
  std::vector<Operand> operands;
  std::vector<Step> steps;
  std::vector<Store> results;
};

}  // namespace espalier::kernels
