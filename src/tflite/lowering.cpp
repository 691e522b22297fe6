#include "tflite/lowering.h"

#include <algorithm>

#include "base/error.h"
#include "ir/reference.h"
#include "ir/registry.h"
#include "ir/room.h"

namespace espalier::tflite {
namespace {

/// Integer computations on constants are folded up to this many elements.
constexpr int64_t kLargestFold = 1 << 16;

size_t index(Form form) { return size_t(form); }
Form other(Form form) { return form == Form::kFile ? Form::kChannelsFirst : Form::kFile; }

bool is_integer(DType d) { return d == DType::i64 || d == DType::i32 || d == DType::boolean; }

}  // namespace

int64_t axis_in(Form form, int64_t axis) {
  return form == Form::kFile ? axis : to_channels_last(4)[size_t(axis)];
}

Tensor permuted(const Tensor& t, const std::vector<int64_t>& permutation) {
  const Room& room = room_named("Transpose");
  const Tensor* operand = &t;
  return run_reference(room, room.parse({{"perm", permutation}}, "Transpose"),
                       std::span(&operand, 1), "Transpose")
      .at(0);
}

Lowering::Lowering(const ModelInfo& model, std::string where)
    : model_(model),
      where_(std::move(where)),
      builder_(graph_),
      held_(model.tensors.size()),
      outputs_(model.outputs.begin(), model.outputs.end()) {}

std::string Lowering::name_of(int32_t t) const {
  const std::string& name = info(t).name;
  return name.empty() ? "tensor_" + std::to_string(t) : name;
}

bool Lowering::quantised(int32_t t) const {
  const TensorInfo& i = info(t);
  if (!i.quantization) return false;
  const DType d = element_type(i.type, where_);
  return d == DType::i8 || d == DType::u8 || d == DType::i16 || d == DType::u16 || d == DType::i32;
}

bool Lowering::same_coding(int32_t a, int32_t b) const {
  if (info(a).type != info(b).type) return false;
  if (quantised(a) != quantised(b)) return false;
  return !quantised(a) || info(a).quantization == info(b).quantization;
}

void Lowering::set_input(int32_t t, ValueId v) {
  held_[size_t(t)].stored[index(Form::kFile)] = v;
  named_.insert(v);
}

const WaitingPad* Lowering::waiting_pad(int32_t t) const {
  const auto it = waiting_.find(t);
  return it == waiting_.end() ? nullptr : &it->second;
}

void Lowering::add_constant(int32_t t) {
  const TensorInfo& i = info(t);
  if (i.sparse) throw unsupported(where_, "tensor '" + name_of(t) + "' is sparse");
  if (!i.constant && numel(i.shape) != 0)
    throw bad_input(where_, "tensor '" + name_of(t) + "' is read before anything gives it",
                    i.variable ? "it carries state from run to run, which is not supported" : "");
  Tensor value = i.constant ? *i.constant : Tensor(element_type(i.type, where_), i.shape);
  const DType d = value.dtype();
  if (d == DType::f16 || d == DType::bf16) value = value.cast(DType::f32);
  // Numbers that are learned: all but single ones, which are written into formulas.
  const bool learned = (is_float(d) || quantised(t)) && value.rank() > 0;
  set_input(t, graph_.add_constant(graph_.fresh_name(name_of(t)), std::move(value),
                                   learned ? Role::kParameter : Role::kNone));
}

void Lowering::make_padded(int32_t t) {
  const WaitingPad p = waiting_.at(t);
  waiting_.erase(t);
  const Form form = native(p.source);
  std::vector<int64_t> amounts(8, 0);
  const auto set = [&](int64_t axis, int64_t before, int64_t after) {
    amounts[size_t(axis_in(form, axis))] = before;
    amounts[size_t(axis_in(form, axis)) + 4] = after;
  };
  set(1, p.top, p.bottom);
  set(2, p.left, p.right);
  Values operands = {stored(p.source, form), b().ints(amounts)};
  if (quantised(t)) operands.push_back(zero_point(t));
  set_stored(t, op("Pad", operands), form);
}

ValueId Lowering::stored(int32_t t, Form form) {
  if (waiting_.contains(t)) make_padded(t);
  if (const ValueId v = held_[size_t(t)].stored[index(form)]; v != kNoValue) return v;
  ValueId from = held_[size_t(t)].stored[index(other(form))];
  if (from == kNoValue) {
    add_constant(t);
    if (form == Form::kFile) return held_[size_t(t)].stored[index(form)];
    from = held_[size_t(t)].stored[index(Form::kFile)];
  }
  if (builder_.type(from).rank() != 4)
    throw bad_input(where_ + ": tensor '" + name_of(t) + "'",
                    "is " + to_string(builder_.type(from)) + ", a picture of four axes is needed");
  const auto permutation = form == Form::kFile ? to_channels_last(4) : to_channels_first(4);
  ValueId v = kNoValue;
  if (graph_.is_constant(from)) {
    v = graph_.add_constant(graph_.fresh_name(name_of(t) + "_nchw"),
                            permuted(*graph_.value(from).constant, permutation),
                            graph_.value(from).role);
  } else {
    v = transposed(from, permutation);
    if (!named_.contains(v)) name_after(v, t, form);
  }
  named_.insert(v);
  return held_[size_t(t)].stored[index(form)] = v;
}

ValueId Lowering::real(int32_t t, Form form) {
  const ValueId v = stored(t, form);
  ValueId& real = held_[size_t(t)].real[index(form)];
  if (real == kNoValue) real = quantised(t) ? dequantised(v, t) : v;
  return real;
}

Form Lowering::native(int32_t t) const {
  const auto waiting = waiting_.find(t);
  return waiting == waiting_.end() ? held_[size_t(t)].native : native(waiting->second.source);
}

int64_t Lowering::rank(int32_t t) { return type(t, native(t)).rank(); }

Dims Lowering::dims(int32_t t) {
  const Form form = native(t);
  Dims dims = type(t, form).dims;
  if (form == Form::kChannelsFirst) std::rotate(dims.begin() + 1, dims.begin() + 2, dims.end());
  return dims;
}

ValueId Lowering::in_file_order(int32_t t) {
  const Dims d = dims(t);
  const bool same_order = d.size() == 4 && (d[3].is(1) || (d[1].is(1) && d[2].is(1)));
  return stored(t, same_order ? native(t) : Form::kFile);
}

const Tensor* Lowering::constant(int32_t t) {
  const Held& h = held_[size_t(t)];
  const bool given = h.stored[0] != kNoValue || h.stored[1] != kNoValue || waiting_.contains(t);
  if (given && (waiting_.contains(t) || h.native != Form::kFile)) return nullptr;
  const ValueId v = stored(t);
  return graph_.is_constant(v) ? &*graph_.value(v).constant : nullptr;
}

std::vector<int64_t> Lowering::ints(int32_t t, const std::string& what) {
  const Tensor* c = constant(t);
  if (!c)
    throw unsupported(where_ + ": " + node_name_, what + " is computed while the network runs",
                      "convert the model with fixed shapes");
  if (!is_integer(c->dtype()))
    throw bad_input(
        where_ + ": " + node_name_,
        what + " is " + std::string(espalier::name_of(c->dtype())) + ", integers are needed");
  return c->to_i64();
}

void Lowering::name_after(ValueId v, int32_t t, Form form) {
  std::string name = name_of(t);
  if (form == Form::kChannelsFirst && outputs_.contains(t)) name += "_nchw";
  if (graph_.value(v).name == name) return;
  // A name that was invented gives way; one of the file stays with whoever came first.
  if (const ValueId taken = graph_.find(name); taken != kNoValue && !named_.contains(taken))
    graph_.rename(taken, graph_.fresh_name(name + "_of_import"));
  graph_.rename(v, graph_.fresh_name(name));
}

void Lowering::refuse_given(int32_t t) const {
  const Held& h = held_[size_t(t)];
  if (h.stored[0] != kNoValue || h.stored[1] != kNoValue || waiting_.contains(t))
    throw bad_input(where_, "tensor '" + name_of(t) + "' is given twice");
}

void Lowering::set_waiting_pad(int32_t t, WaitingPad pad) {
  refuse_given(t);
  waiting_[t] = pad;
}

void Lowering::set_stored(int32_t t, ValueId v, Form form) {
  refuse_given(t);
  Held& h = held_[size_t(t)];
  const DType wanted = element_type(info(t).type, where_), got = builder_.type(v).dtype;
  if (wanted != got)
    throw bad_input(where_ + ": " + node_name_, "gives " + std::string(espalier::name_of(got)) +
                                                    ", the file says '" + name_of(t) + "' is " +
                                                    std::string(espalier::name_of(wanted)));
  if (named_.contains(v) && outputs_.contains(t)) v = op("Identity", {v});
  if (!named_.contains(v)) name_after(v, t, form);
  named_.insert(v);
  h.stored[index(form)] = v;
  h.native = form;
}

void Lowering::set_real(int32_t t, ValueId v, Form form) { set_stored(t, coded(v, t), form); }

std::pair<ValueId, ValueId> Lowering::coding_of(int32_t t) {
  if (const auto it = codings_.find(t); it != codings_.end()) return it->second;
  const Quantization& q = *info(t).quantization;
  const DType dtype = element_type(info(t).type, where_);
  const auto count = int64_t(q.scales.size());
  const Shape shape = count == 1 ? Shape{} : Shape{count};
  Tensor zero(dtype, shape);
  visit_numeric(dtype, [&](auto tag) {
    using T = decltype(tag);
    if constexpr (std::is_integral_v<T>)
      for (int64_t i = 0; i < count; ++i) {
        const int64_t z = q.zero_points[size_t(i)];
        if (int64_t(T(z)) != z)
          throw bad_input(where_ + ": tensor '" + name_of(t) + "'",
                          "has the zero point " + std::to_string(z) + ", which is no " +
                              std::string(espalier::name_of(dtype)));
        zero.mutable_data<T>()[i] = T(z);
      }
  });
  const std::string name = name_of(t);
  const ValueId scale = graph_.add_constant(graph_.fresh_name(name + "_scale"),
                                            Tensor::from<float>(shape, std::span(q.scales)));
  const ValueId point =
      graph_.add_constant(graph_.fresh_name(name + "_zero_point"), std::move(zero));
  return codings_[t] = {scale, point};
}

ValueId Lowering::dequantised(ValueId v, int32_t t) {
  const Quantization& q = *info(t).quantization;
  const auto [scale, zero] = coding_of(t);
  AttributeMap attributes;
  if (q.scales.size() > 1) {
    const bool moved = builder_.type(v).rank() == 4 && v == held_[size_t(t)].stored[1];
    attributes["axis"] = moved ? axis_in(Form::kChannelsFirst, q.axis) : q.axis;
  }
  return builder_.one("DequantizeLinear", {v, scale, zero}, attributes);
}

ValueId Lowering::coded(ValueId v, int32_t t) {
  if (!quantised(t) || !is_float(builder_.type(v).dtype)) return v;
  if (info(t).quantization->scales.size() != 1)
    throw unsupported(where_ + ": " + node_name_,
                      "its result '" + name_of(t) + "' has several scales");
  const auto [scale, zero] = coding_of(t);
  return builder_.one("QuantizeLinear", {v, scale, zero});
}

ValueId Lowering::parameter(Tensor value, const std::string& name) {
  return graph_.add_constant(graph_.fresh_name(name), std::move(value), Role::kParameter);
}

std::optional<std::vector<Tensor>> Lowering::folded(const Room& room, const Attributes& attrs,
                                                    const Values& inputs) const {
  if (room.known)
    if (auto t = room.known(attrs, types_in(graph_, room, inputs, node_name_)))
      return std::vector<Tensor>{std::move(*t)};
  if (!room.deterministic || inputs.empty() || room.reference.refused()) return std::nullopt;
  std::vector<const Tensor*> operands;
  for (ValueId v : inputs) {
    if (v != kNoValue && !graph_.is_constant(v)) return std::nullopt;
    operands.push_back(v == kNoValue ? nullptr : &*graph_.value(v).constant);
  }
  for (const Type& t : infer_types(graph_, room, attrs, inputs, node_name_))
    if (!t.is_tensor() || !t.tensor().is_static() || !is_integer(t.tensor().dtype) ||
        t.tensor().numel() > kLargestFold)
      return std::nullopt;
  return run_reference(room, attrs, operands, node_name_);
}

ValueId Lowering::op(const std::string& name, const Values& inputs,
                     const AttributeMap& attributes) {
  return ops(name, inputs, attributes, 1).at(0);
}

Values Lowering::ops(const std::string& name, const Values& inputs, const AttributeMap& attributes,
                     size_t results) {
  const Room& room = room_named(name);
  Attributes attrs = room.parse(attributes, node_name_);
  if (auto known = folded(room, attrs, inputs)) {
    Values constants;
    for (Tensor& t : *known) constants.push_back(builder_.constant(std::move(t)));
    return constants;
  }
  Types types = infer_types(graph_, room, attrs, inputs, node_name_);
  if (results > types.size())
    throw bad_input(where_ + ": " + node_name_, "has " + std::to_string(results) + " results, " +
                                                    std::to_string(types.size()) + " are given");
  types.resize(results);
  const NodeId id = graph_.add_node(room, std::move(attrs), inputs, std::move(types), node_name_);
  return graph_.node(id).outputs;
}

ValueId Lowering::cast_to(ValueId v, DType to) {
  if (builder_.type(v).dtype == to) return v;
  return op("Cast", {v}, {{"to", detail::onnx_number(to)}});
}

ValueId Lowering::transposed(ValueId v, std::vector<int64_t> permutation) {
  const NodeId before = graph_.value(v).producer;
  if (before != kNoNode && graph_.node(before).room->full_name() == "Transpose") {
    const Node& n = graph_.node(before);
    const AttributeMap attributes = n.room->print(n.attrs, true);
    if (const auto it = attributes.find("perm"); it != attributes.end()) {
      const auto& first = std::get<std::vector<int64_t>>(it->second);
      std::vector<int64_t> both;
      for (int64_t axis : permutation) {
        if (axis < 0 || axis >= int64_t(first.size()))
          return op("Transpose", {v}, {{"perm", permutation}});  // which refuses it
        both.push_back(first[size_t(axis)]);
      }
      v = n.inputs[0];
      permutation = both;
    }
  }
  bool moves = int64_t(permutation.size()) != builder_.type(v).rank();
  for (size_t i = 0; i < permutation.size(); ++i) moves = moves || permutation[i] != int64_t(i);
  return moves ? op("Transpose", {v}, {{"perm", permutation}}) : v;
}

ValueId Lowering::reshaped(ValueId v, const Dims& extents) {
  std::vector<int64_t> target;
  int unknown = 0;
  for (const Dim& d : extents) {
    target.push_back(d.known() ? d.value() : -1);
    unknown += d.known() ? 0 : 1;
  }
  if (unknown > 1)
    throw unsupported(
        where_ + ": " + node_name_,
        "its result " + to_string(TensorType(DType::f32, extents)) + " has several open extents",
        "give the shapes of the inputs: --shape x=1,224,224,3");
  return op("Reshape", {v, b().ints(target)});
}

}  // namespace espalier::tflite
