// Attributes of Gemm.
#pragma once

#include <cstdint>

namespace espalier::ops {

struct Gemm {
  float alpha = 1.0f;
  float beta = 1.0f;
  bool trans_a = false;
  bool trans_b = false;
};

}  // namespace espalier::ops
