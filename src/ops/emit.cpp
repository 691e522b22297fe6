#include "ops/emit.h"

namespace espalier::ops {

void require_f32(const CWriter& c) {
  for (size_t i = 0; i < c.inputs(); ++i)
    if (c.has(i) && c.dtype(i) != DType::f32)
      c.refuse("operand " + std::to_string(i) + " is " + std::string(name_of(c.dtype(i))) +
               ", its C function takes f32");
}

void declare_position(CWriter& c, const std::string& name, const std::string& index,
                      int64_t extent) {
  const std::string n = std::to_string(extent);
  c.line("int " + name + " = (int)" + index + ";");
  c.line("if (" + name + " < 0) " + name + " += " + n + ";");
  c.check(name + " >= 0 && " + name + " < " + n);
}

std::string plus(const std::string& a, const std::string& b) {
  return a == "0" ? b : b == "0" ? a : a + " + " + b;
}

std::string times(const std::string& a, int64_t by) {
  if (by == 0 || a == "0") return "0";
  if (by == 1) return a;
  const bool simple = a.find(' ') == std::string::npos;
  return (simple ? a : "(" + a + ")") + " * " + std::to_string(by);
}

std::string for_loop(const std::string& name, int64_t count) {
  return "for (int " + name + " = 0; " + name + " < " + std::to_string(count) + "; ++" + name + ")";
}

void emit_constant(CWriter& c, const Tensor& value) {
  if (value.size() == 0) return;
  const std::string from = c.table(value, "values");
  c.nest({value.size()}, {{0, {1}}},
         [&](const std::vector<std::string>& at) { c.store(0, at[0], from + "[" + at[0] + "]"); });
}

}  // namespace espalier::ops
