#include "ir/reference.h"

#include "ir/builder.h"
#include "ir/interpret.h"
#include "ir/room.h"

namespace espalier {

template <class Real>
Ref<Real>::Ref(std::span<const Tensor* const> inputs, std::span<Tensor> outputs)
    : in_(inputs.begin(), inputs.end()),
      out_(outputs),
      real_in_(inputs.size()),
      real_out_(outputs.size()),
      int_in_(inputs.size()),
      int_out_(outputs.size()) {}

namespace {

template <class To>
void widen(const Tensor& from, std::vector<To>& to) {
  to.resize(size_t(from.size()));
  visit_numeric(from.dtype(), [&](auto tag) {
    const auto* p = from.data<decltype(tag)>();
    for (size_t i = 0; i < to.size(); ++i) to[i] = convert_element<To>(p[i]);
  });
}

// Integers wrap on the way back, as ONNX's do.
template <class From>
void narrow(const std::vector<From>& from, Tensor& to) {
  visit_numeric(to.dtype(), [&](auto tag) {
    using To = decltype(tag);
    To* p = to.mutable_data<To>();
    for (size_t i = 0; i < from.size(); ++i) p[i] = convert_element<To>(from[i]);
  });
}

}  // namespace

template <class Real>
std::span<const Real> Ref<Real>::real(size_t i) {
  const Tensor& t = in_at(i);
  ESP_CHECK(is_float(t.dtype()), "an integer operand was read as real");
  if (t.dtype() == dtype_of<Real>::value) return t.span<Real>();
  if (real_in_[i].empty()) widen(t, real_in_[i]);
  return real_in_[i];
}

template <class Real>
std::span<const int64_t> Ref<Real>::ints(size_t i) {
  const Tensor& t = in_at(i);
  ESP_CHECK(!is_float(t.dtype()) && t.dtype() != DType::string,
            "a float operand was read as integers");
  if (t.dtype() == DType::i64) return t.span<int64_t>();
  if (int_in_[i].empty()) widen(t, int_in_[i]);
  return int_in_[i];
}

template <class Real>
std::span<Real> Ref<Real>::out_real(size_t o) {
  Tensor& t = out_[o];
  ESP_CHECK(is_float(t.dtype()), "an integer result was written as real");
  if (t.dtype() == dtype_of<Real>::value) return {t.mutable_data<Real>(), size_t(t.size())};
  real_out_[o].resize(size_t(t.size()));
  return real_out_[o];
}

template <class Real>
std::span<int64_t> Ref<Real>::out_ints(size_t o) {
  Tensor& t = out_[o];
  ESP_CHECK(!is_float(t.dtype()) && t.dtype() != DType::string,
            "a float result was written as integers");
  if (t.dtype() == DType::i64) return {t.mutable_data<int64_t>(), size_t(t.size())};
  int_out_[o].resize(size_t(t.size()));
  return int_out_[o];
}

template <class Real>
void Ref<Real>::finish() {
  for (size_t o = 0; o < out_.size(); ++o) {
    if (!real_out_[o].empty()) narrow(real_out_[o], out_[o]);
    if (!int_out_[o].empty()) narrow(int_out_[o], out_[o]);
  }
}

template class Ref<float>;
template class Ref<double>;

namespace {

std::vector<Tensor> run_expansion(const Room& room, const Attributes& attrs,
                                  std::span<const Tensor* const> inputs) {
  Graph graph;
  Values operands;
  std::vector<Tensor> given;
  for (const Tensor* t : inputs) {
    if (!t) {
      operands.push_back(kNoValue);
    } else if (t->dtype() == DType::i64 && t->rank() <= 1) {
      operands.push_back(graph.add_constant("", *t));  // shapes and axes stay visible to inference
    } else {
      operands.push_back(graph.add_input("", TensorType(t->dtype(), t->shape())));
      given.push_back(*t);
    }
  }
  Builder builder(graph);
  graph.set_outputs(expand_node(room, attrs, builder, operands));
  return interpret(graph, given);
}

}  // namespace

std::vector<Tensor> run_reference(const Room& room, const Attributes& attrs,
                                  std::span<const Tensor* const> inputs, const std::string& where) {
  const std::string label = where.empty() ? room.full_name() : where;
  if (room.reference.refused()) throw unsupported(label, room.reference.why());
  std::vector<bool> given;
  for (const Tensor* t : inputs) given.push_back(t != nullptr);
  check_operands(room, given, label);
  std::vector<Type> types(inputs.size());
  std::vector<TypesIn::Operand> operands(inputs.size());
  bool wide = false;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i]) continue;
    types[i] = TensorType(inputs[i]->dtype(), inputs[i]->shape());
    operands[i] = {&types[i], inputs[i]};
    wide = wide || inputs[i]->dtype() == DType::f64;
  }
  Types results;
  if (room.infer.answered()) results = (*room.infer)(attrs, TypesIn(label, std::move(operands)));
  if (room.reference.derived()) return run_expansion(room, attrs, inputs);
  std::vector<Tensor> outputs;
  for (const Type& t : results) {
    if (!t.is_tensor() || !t.tensor().is_static())
      throw unsupported(label, "the result's shape " + to_string(t) + " depends on data");
    outputs.emplace_back(t.tensor().dtype, t.tensor().shape());
  }
  if (wide) {
    Ref<double> r(inputs, outputs);
    (*room.reference_f64)(attrs, r);
    r.finish();
  } else {
    Ref<float> r(inputs, outputs);
    (*room.reference)(attrs, r);
    r.finish();
  }
  return outputs;
}

}  // namespace espalier
