// Attributes of Gemm.
#pragma once

#include <cstdint>

#include "ir/c_writer.h"

namespace espalier::ops {

struct Gemm {
  float alpha = 1.0f;
  float beta = 1.0f;
  bool trans_a = false;
  bool trans_b = false;
};

/// y (result 0, row-major) = alpha a b, plus what y holds if `adds`. a and b are operands 0 and 1,
/// walked by the steps between their rows and columns.
struct MatmulInC {
  int64_t rows = 1, inner = 1, columns = 1;
  int64_t a_row = 1, a_column = 1, b_row = 1, b_column = 1;
  bool adds = false;
};
/// As runtime/c/matmul.h takes it.
std::string matmul_in_c(const MatmulInC& p);
/// The product in C, from these offsets on.
void emit_matmul(CWriter& c, const MatmulInC& p, double alpha = 1, const std::string& a = "0",
                 const std::string& b = "0", const std::string& y = "0");

}  // namespace espalier::ops
