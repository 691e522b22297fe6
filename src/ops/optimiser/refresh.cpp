#include "ops/optimiser/refresh.h"

#include "base/error.h"

namespace espalier::ops {

void require_step(const TypesIn& in, size_t slot, int64_t every) {
  if (!(in[slot] == TensorType(DType::i64, Dims{})))
    in.fail("the step is " + to_string(in[slot]) + ", i64[] is needed");
  if (every < 1) in.fail("'every' is " + std::to_string(every) + ", at least 1 is needed");
}

int64_t step_number(const Tensor& step, const char* where) {
  const int64_t number = step.int_at(0);
  if (number < 1) throw bad_input(where, "step is " + std::to_string(number) + ", below 1");
  return number;
}

Types infer_square_refresh(const TypesIn& in, int64_t every) {
  require_float(in, 0);
  require_rank(in, 0, 2);
  if (in[0].dims[0] != in[0].dims[1]) in.fail(to_string(in[0]) + " is no square matrix");
  if (!(in[1] == in[0]))
    in.fail("operand 1 is " + to_string(in[1]) + ", operand 0 is " + to_string(in[0]));
  require_step(in, 2, every);
  return {in[0]};
}

}  // namespace espalier::ops
