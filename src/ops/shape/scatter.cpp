#include "ops/shape/scatter.h"

#include "base/error.h"
#include "ops/emit.h"

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

void emit_element_positions(CWriter& c, size_t indices, int64_t axis, const PositionBody& body) {
  const Shape data = c.shape(0), index = c.shape(indices);
  const auto at = size_t(normal_axis(axis, int64_t(data.size()), "indices"));
  auto strides = strides_of(data);
  const int64_t step = strides[at];
  strides[at] = 0;
  c.nest(index, {{0, strides_of(index)}, {0, strides}}, [&](const std::vector<std::string>& i) {
    declare_position(c, "to", c.load(indices, i[0]), data[at]);
    body(plus(i[1], times("to", step)), i[0]);
  });
}

void emit_tuple_positions(CWriter& c, int64_t batch, const PositionBody& body) {
  const Shape data = c.shape(0), indices = c.shape(1);
  const int64_t length = indices.back();
  const auto strides = strides_of(data);
  const int64_t run = product(data, size_t(batch + length), data.size());
  const int64_t batches = product(data, 0, size_t(batch));
  const int64_t batch_step = product(data, size_t(batch), data.size());
  const int64_t tuples = product(indices, 0, indices.size() - 1);
  if (batches == 0 || tuples == 0) return;
  const int64_t each = tuples / batches;
  c.nest({batches, each}, {{0, {batch_step, 0}}, {0, {each, 1}}},
         [&](const std::vector<std::string>& i) {
           c.line("const int tuple = " + i[1] + ";");
           std::string at = i[0];
           for (int64_t k = 0; k < length; ++k) {
             const std::string name = "at" + std::to_string(k);
             declare_position(c, name, c.load(1, plus(times("tuple", length), std::to_string(k))),
                              data[size_t(batch + k)]);
             at = plus(at, times(name, strides[size_t(batch + k)]));
           }
           c.nest({run}, {{0, {1}}}, [&](const std::vector<std::string>& j) {
             body(plus(at, j[0]), plus(times("tuple", run), j[0]));
           });
         });
}

void emit_meeting(CWriter& c, Meeting meeting, const std::string& data, const std::string& own) {
  const std::string here = c.out(0) + "[" + data + "]", update = c.load(2, own);
  switch (meeting) {
    case Meeting::kReplace: return c.line(here + " = " + update + ";");
    case Meeting::kAdd: return c.line(here + " += " + update + ";");
    case Meeting::kMul: return c.line(here + " *= " + update + ";");
    case Meeting::kMax:
      return c.line("if (" + update + " > " + here + ") " + here + " = " + update + ";");
    case Meeting::kMin:
      return c.line("if (" + update + " < " + here + ") " + here + " = " + update + ";");
  }
}

}  // namespace espalier::ops
