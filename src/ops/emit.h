// What `emit` facets share.
#pragma once

#include <string>

#include "ir/c_writer.h"
#include "ops/common.h"

namespace espalier::ops {

/// Refuses operands of the node that are given and not f32: functions of runtime/c are.
void require_f32(const CWriter& c);
/// Declares `name`, the position that an index (from the back where negative) names in an axis; the
/// run ends with an error where there is none.
void declare_position(CWriter& c, const std::string& name, const std::string& index,
                      int64_t extent);
/// "a + b", without what is 0.
std::string plus(const std::string& a, const std::string& b);
/// "i * n", simplified.
std::string times(const std::string& a, int64_t by);
/// A variable of a `for` loop from 0: "for (int k = 0; k < n; ++k)".
std::string for_loop(const std::string& name, int64_t count);
/// Writes `value` into result 0.
void emit_constant(CWriter& c, const Tensor& value);

/// Operators that give operand 0 another shape.
template <class A>
void emit_view(const A&, CWriter& c) {
  c.view(0, 0);
}

}  // namespace espalier::ops
