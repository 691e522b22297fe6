// One operator of a TFLite file, and the functions that write it into the graph.
#pragma once

#include <span>
#include <string>

#include "tflite/lowering.h"

namespace espalier::tflite {

/// One operator of the file, about to be written into the graph.
struct Operator {
  Lowering& l;
  const OperatorInfo& info;
  const std::string& where;

  const FlatTable& options() const { return info.options; }
  size_t operands() const { return info.inputs.size(); }
  /// Operand i, which must be there.
  int32_t in(size_t i) const;
  /// Operand i, or -1.
  int32_t maybe(size_t i) const { return i < info.inputs.size() ? info.inputs[i] : -1; }
  int32_t out(size_t i = 0) const;
  /// UserError(bad input): the operator, so.
  [[noreturn]] void fail(const std::string& what, const std::string& hint = "") const;
  [[noreturn]] void refuse(const std::string& what, const std::string& hint = "") const;
};

/// The activation an operator carries, applied to its result.
ValueId activated(const Operator& o, ValueId v, int activation);
/// Channels-first if one of the tensors was computed so and none has more axes.
Form common_form(Lowering& l, std::span<const int32_t> tensors);
/// The real numbers (or what is stored) of `t`, shaped so that they broadcast in `form`.
ValueId broadcastable(Lowering& l, int32_t t, Form form, bool real);

// What writes each operator into the graph: operators.inc says which.
#define TFL_NAME(number, name)
#define TFL_OP(number, name, function) void function(const Operator& o);
#include "tflite/operators.inc"
#undef TFL_OP
#undef TFL_NAME

}  // namespace espalier::tflite
