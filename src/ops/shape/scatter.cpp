#include "ops/shape/scatter.h"

#include "base/error.h"

namespace espalier::ops {

Meeting meeting_of(const std::string& reduction, const std::string& where) {
  if (reduction == "none") return Meeting::kReplace;
  if (reduction == "add") return Meeting::kAdd;
  if (reduction == "mul") return Meeting::kMul;
  if (reduction == "max") return Meeting::kMax;
  if (reduction == "min") return Meeting::kMin;
  throw bad_input(where, "reduction '" + reduction + "' is not known",
                  "known: none, add, mul, max, min");
}

void require_linear(const std::string& reduction, const Tape& t) {
  if (reduction != "none" && reduction != "add")
    throw unsupported(t.node().name.empty() ? t.node().room->full_name() : t.node().name,
                      "the gradient of reduction '" + reduction + "' is not defined");
}

}  // namespace espalier::ops
