#include "tflite/operator.h"

#include <algorithm>

#include "base/error.h"

namespace espalier::tflite {

int32_t Operator::in(size_t i) const {
  if (maybe(i) < 0) fail("operand " + std::to_string(i) + " is missing");
  return info.inputs[i];
}

int32_t Operator::out(size_t i) const {
  if (i >= info.outputs.size()) fail("has " + std::to_string(info.outputs.size()) + " results");
  return info.outputs[i];
}

void Operator::fail(const std::string& what, const std::string& hint) const {
  throw bad_input(where, what, hint);
}

void Operator::refuse(const std::string& what, const std::string& hint) const {
  throw unsupported(where, what, hint);
}

ValueId activated(const Operator& o, ValueId v, int activation) {
  Lowering& l = o.l;
  const auto clipped = [&](double low, double high) {
    return l.op("Clip", {v, l.b().scalar(low, v), l.b().scalar(high, v)});
  };
  switch (activation) {
    case 0: return v;
    case 1:
      return is_float(l.b().type(v).dtype) ? l.op("Relu", {v})
                                           : o.l.op("Max", {v, l.b().scalar(0, v)});
    case 2: return clipped(-1, 1);
    case 3: return clipped(0, 6);
    case 4: return l.op("Tanh", {v});
    default: o.refuse("carries activation " + std::to_string(activation));
  }
}

Form common_form(Lowering& l, std::span<const int32_t> tensors) {
  bool first = false;
  int64_t rank = 0;
  for (int32_t t : tensors) {
    rank = std::max(rank, l.rank(t));
    first = first || (l.native(t) == Form::kChannelsFirst && l.rank(t) == 4);
  }
  return first && rank == 4 ? Form::kChannelsFirst : Form::kFile;
}

ValueId broadcastable(Lowering& l, int32_t t, Form form, bool real) {
  const auto held = [&](Form f) { return real ? l.real(t, f) : l.stored(t, f); };
  const int64_t rank = l.rank(t);
  if (form == Form::kFile || rank == 4) return held(form);
  const ValueId v = held(Form::kFile);
  const TensorType type = l.b().type(v);
  const bool single =
      std::all_of(type.dims.begin(), type.dims.end(), [](const Dim& d) { return d.is(1); });
  if (single && rank <= 1) return v;
  Dims dims = type.dims;
  dims.insert(dims.begin(), size_t(4 - rank), Dim(1));
  if (rank == 1) dims = {Dim(1), dims[3], Dim(1), Dim(1)};
  if (!l.graph().is_constant(v)) {
    const ValueId four = l.reshaped(v, dims);
    return rank == 1 ? four : l.transposed(four, to_channels_first(4));
  }
  const auto key = std::pair(t, std::string(real ? "broadcast" : "broadcast as stored"));
  if (const auto it = l.prepared.find(key); it != l.prepared.end()) return it->second;
  const Value& value = l.graph().value(v);
  Tensor four = value.constant->reshaped(TensorType(type.dtype, dims).shape());
  if (rank != 1) four = permuted(four, to_channels_first(4));
  const Role role = value.role;
  return l.prepared[key] =
             l.graph().add_constant(l.graph().fresh_name(l.name_of(t)), std::move(four), role);
}

}  // namespace espalier::tflite
