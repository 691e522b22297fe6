// Small graphs for the tests of pictures.
#pragma once

#include <string>

#include "ir/text.h"

namespace espalier::testing {

/// A linear layer with a broadcast bias, a skip past it and a scalar factor.
inline const char* kSkip = R"(graph "skip"(%x: f32[N,4]) -> (%y) {
  meta "made by" = "hand <&> \"quotes\" ]]> é"
  %w = parameter f32[4,4] [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]
  %c = parameter f32[4] [1, 2, 3, nan]
  %half = constant f32[] [0.5]
  %h: f32[N,4] = MatMul(%x, %w)  @"fc"
  %b: f32[N,4] = Add(%h, %c)
  %s: f32[N,4] = Mul(%b, %half)
  %y: f32[N,4] = Add(%x, %s)
}
)";

/// `count` times a LeakyRelu and a Mul by a constant, each with names of its own.
inline std::string repeated_text(int count) {
  std::string text = "graph \"deep\"(%x0: f32[2,3]) -> (%x" + std::to_string(count) + ") {\n";
  for (int i = 0; i < count; ++i)
    text += "  %k" + std::to_string(i) + " = parameter f32[3] [1, 2, 3]\n";
  for (int i = 0; i < count; ++i) {
    const std::string n = std::to_string(i);
    text += "  %a" + n + ": f32[2,3] = LeakyRelu(%x" + n + ") {alpha = 0.5}\n";
    text += "  %x" + std::to_string(i + 1) + ": f32[2,3] = Mul(%a" + n + ", %k" + n + ")\n";
  }
  return text + "}\n";
}

}  // namespace espalier::testing
