// Small networks drawn at random, whose regions are what the cost model learns from.
//
// The distribution: 35 % convolutions with what follows them, 12 % depthwise convolutions between
// pointwise ones, 20 % matrix products, 5 % attention's products with their softmax, 12 % chains of
// pointwise operators, 10 % normalisations, 6 % movements and reductions. Extents are log-uniform:
// channels 8 to 512, pictures 4 to 112 wide, rows 1 to 512, columns 16 to 2048; contractions are
// f32 (60 %), bf16 and int8 (20 % each). A draw above 1.2 GMACs or 4 million elements is halved
// along its largest extents until it is not.
#pragma once

#include <cstdint>

#include "ir/graph.h"

namespace espalier {

/// Network number `index`: a function of its arguments alone, the same on every machine.
Graph sampled_network(uint64_t seed, uint64_t index);

enum class Precision : uint8_t { kF32, kBf16, kInt8 };

/// y [rows, columns] = x [rows, inner] w, for peaks. int8: quantised before and after.
Graph product_network(int64_t rows, int64_t inner, int64_t columns, Precision precision);
/// A 3 x 3 convolution with padding on pictures of batch 1.
Graph convolution_network(int64_t channels, int64_t extent, Precision precision);
/// `count` softmaxes of eight numbers in a row: instructions with next to nothing to do.
Graph tiny_network(int64_t count);

}  // namespace espalier
