// ReverseSequence, ONNX opset 10: along the time axis, the first sequence_lens[b] slices of batch b
// in reverse order, the rest as they are.
#include "base/error.h"
#include "ops/emit.h"
#include "ops/shape/move.h"

namespace espalier::ops {
namespace {

struct ReverseSequence {
  int64_t batch_axis = 1;
  int64_t time_axis = 0;
};

Types infer(const ReverseSequence& a, const TypesIn& in) {
  if (in[0].rank() < 2) in.fail("operand 0 is " + to_string(in[0]) + ", rank 2 is needed");
  if (!(a.batch_axis == 0 && a.time_axis == 1) && !(a.batch_axis == 1 && a.time_axis == 0))
    in.fail("batch_axis is " + std::to_string(a.batch_axis) + " and time_axis " +
                std::to_string(a.time_axis),
            "one is 0, the other 1");
  if (in[1].dtype != DType::i64) in.fail("the lengths are " + to_string(in[1]) + ", not i64");
  require_rank(in, 1, 1);
  const Dim &batch = in[0].dims[size_t(a.batch_axis)], &given = in[1].dims[0];
  if (batch.known() && given.known() && !(batch == given))
    in.fail("lengths " + to_string(in[1]) + " are given for a batch of " + to_string(batch));
  return {in[0]};
}

template <class Real>
void reference(const ReverseSequence& a, Ref<Real>& r) {
  const Shape& shape = r.shape(0);
  const int64_t run = product(shape, 2, shape.size()), times = shape[size_t(a.time_axis)];
  const auto lengths = r.ints(1);
  for (int64_t length : lengths)
    if (length < 0 || length > times)
      throw bad_input("ReverseSequence", "the length " + std::to_string(length) +
                                             " lies outside an axis of extent " +
                                             std::to_string(times));
  const ElementCopier copy(r.tensor(0), r.out_tensor(0));
  for (int64_t i = 0; i < shape[0]; ++i)
    for (int64_t j = 0; j < shape[1]; ++j) {
      const int64_t batch = a.batch_axis == 0 ? i : j, time = a.batch_axis == 0 ? j : i;
      const int64_t length = lengths[size_t(batch)];
      const int64_t from = time < length ? length - 1 - time : time;
      const int64_t at = a.batch_axis == 0 ? i * shape[1] + from : from * shape[1] + j;
      copy((i * shape[1] + j) * run, at * run, run);
    }
}

// Reversing is its own inverse.
Values gradient(const ReverseSequence& a, Builder& b, const Tape& t) {
  return {b.one("ReverseSequence", {t.dy(), t.x(1)},
                {{"batch_axis", a.batch_axis}, {"time_axis", a.time_axis}}),
          kNoValue};
}

AxisMap axes(const ReverseSequence& a, const TypesIn& in, const Types&) {
  std::vector<std::pair<int64_t, int64_t>> moved;
  for (int64_t d = 2; d < in[0].rank(); ++d) moved.emplace_back(d, d);
  AxisMap map = moved_axes(in, moved);
  if (in[0].dims[size_t(a.batch_axis)].known())
    map.ties.push_back(
        {in[0].dims[size_t(a.batch_axis)].value(),
         {AxisPlace::in(0, a.batch_axis), AxisPlace::in(1, 0), AxisPlace::out(0, a.batch_axis)}});
  return map;
}

void emit(const ReverseSequence& a, CWriter& c) {
  const Shape shape = c.shape(0);
  const int64_t run = product(shape, 2, shape.size());
  const bool batch_first = a.batch_axis == 0;
  const int64_t batch = shape[batch_first ? 0 : 1], times_ = shape[batch_first ? 1 : 0];
  const int64_t batch_step = batch_first ? times_ * run : run,
                step = batch_first ? run : batch * run;
  if (numel(shape) == 0) return;
  c.block(for_loop("b", batch), [&] {
    c.line("const int length = (int)" + c.load(1, "b") + ";");
    c.check("length >= 0 && length <= " + std::to_string(times_));
    c.block(for_loop("t", times_), [&] {
      c.line("const int from = t < length ? length - 1 - t : t;");
      c.nest({run}, {{0, {1}}}, [&](const std::vector<std::string>& i) {
        const std::string base = plus(times("b", batch_step), i[0]);
        c.store(0, plus(base, times("t", step)), c.load(0, plus(base, times("from", step))));
      });
    });
  });
}

}  // namespace

const Room& reverse_sequence() {
  static const Room room = make_room<ReverseSequence>({
      .onnx = {"ReverseSequence", 10},
      .arity = {2, 2},
      .attributes = {{"batch_axis", &ReverseSequence::batch_axis},
                     {"time_axis", &ReverseSequence::time_axis}},
      .infer = infer,
      .reference = ESP_REFERENCE(ReverseSequence, reference),
      .gradient = gradient,
      .cost = moves<ReverseSequence>,
      .axes = axes,
      .quantize = moves_quantized<ReverseSequence>,
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {OperandSpec::of({4, 3, 2}), OperandSpec::list({4, 1, 3})}},
                  {{0, 1}, {OperandSpec::of({2, 5}), OperandSpec::list({0, 5})}},
                  {{}, {OperandSpec::of({4, 0}), OperandSpec::list({})}},
                  {{0, 1},
                   {OperandSpec::fixed(Tensor::from<std::string>({1, 3}, {"a", "b", "c"})),
                    OperandSpec::list({2})}}},
  });
  return room;
}

}  // namespace espalier::ops
