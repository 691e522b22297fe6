#include "ir/reference.h"

#include "ir/builder.h"
#include "ir/interpret.h"
#include "ir/room.h"

namespace espalier {

template <class Real>
Ref<Real>::Ref(std::span<const Datum* const> inputs, const Types& results)
    : in_(inputs.begin(), inputs.end()),
      types_(results),
      given_(results.size()),
      real_in_(inputs.size()),
      real_out_(results.size()),
      int_in_(inputs.size()),
      int_out_(results.size()) {
  for (const Type& t : results)
    out_.push_back(t.is_static() ? Tensor(t.tensor().dtype, t.tensor().shape()) : Tensor());
}

template <class Real>
const Datum& Ref<Real>::datum(size_t i) const {
  ESP_CHECK(i < in_.size() && in_[i], "a reference read an omitted operand");
  return *in_[i];
}

template <class Real>
void Ref<Real>::resize(size_t o, Shape shape) {
  const auto dtype = element_type_of(types_[o]);
  ESP_CHECK(dtype.has_value(), "only a tensor has a shape");
  out_[o] = Tensor(*dtype, std::move(shape));
}

template <class Real>
void Ref<Real>::give(size_t o, Datum datum) {
  given_[o] = std::move(datum);
}

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
std::vector<Datum> Ref<Real>::finish() {
  std::vector<Datum> results;
  for (size_t o = 0; o < out_.size(); ++o) {
    if (!real_out_[o].empty()) narrow(real_out_[o], out_[o]);
    if (!int_out_[o].empty()) narrow(int_out_[o], out_[o]);
    results.push_back(given_[o] ? std::move(*given_[o]) : Datum(std::move(out_[o])));
    ESP_CHECK(fits(results.back(), types_[o]), "a reference gives " + describe(results.back()) +
                                                   " where inference gives " +
                                                   to_string(types_[o]));
  }
  return results;
}

template class Ref<float>;
template class Ref<double>;

namespace {

/// What shapes, axes and sizes are given as.
bool is_list(const Tensor& t) {
  return (t.dtype() == DType::i64 || t.dtype() == DType::i32) && t.rank() <= 1;
}

std::vector<Datum> run_expansion(const Room& room, const Attributes& attrs,
                                 std::span<const Datum* const> inputs) {
  Graph graph;
  Values operands;
  std::vector<Datum> given;
  for (const Datum* d : inputs) {
    if (!d) {
      operands.push_back(kNoValue);
    } else if (d->is_tensor() && is_list(d->tensor())) {
      // Shapes and axes stay visible to inference.
      operands.push_back(graph.add_constant("", d->tensor()));
    } else {
      operands.push_back(graph.add_input("", d->type()));
      given.push_back(*d);
    }
  }
  Builder builder(graph);
  graph.set_outputs(expand_node(room, attrs, builder, operands));
  return interpret_data(graph, given);
}

bool is_wide(const Type& type) {
  const auto dtype = element_type_of(type);
  return dtype ? *dtype == DType::f64 : is_wide(type.element());
}

/// Operands as inference sees them.
struct Operands {
  std::vector<Type> types;
  std::vector<TypesIn::Operand> in;
  bool wide = false;

  explicit Operands(std::span<const Datum* const> inputs)
      : types(inputs.size()), in(inputs.size()) {
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!inputs[i]) continue;
      types[i] = inputs[i]->type();
      in[i] = {&types[i], inputs[i]->is_tensor() ? &inputs[i]->tensor() : nullptr};
      wide = wide || is_wide(types[i]);
    }
  }
};

}  // namespace

Types types_for(const Room& room, const Attributes& attrs, std::span<const Datum* const> inputs,
                const std::string& where) {
  const Operands operands(inputs);
  return infer_types(room, attrs, TypesIn(where, operands.in));
}

std::vector<Datum> run_reference(const Room& room, const Attributes& attrs,
                                 std::span<const Datum* const> inputs, const std::string& where) {
  const std::string label = where.empty() ? room.full_name() : where;
  if (room.reference.refused()) throw unsupported(label, room.reference.why());
  const Operands operands(inputs);
  const TypesIn in(label, operands.in);
  check_operands(room, in);
  if (room.reference.derived()) {
    if (room.infer.answered()) infer_types(room, attrs, in);
    return run_expansion(room, attrs, inputs);
  }
  const Types results = infer_types(room, attrs, in);
  if (operands.wide) {
    Ref<double> r(inputs, results);
    (*room.reference_f64)(attrs, r);
    return r.finish();
  }
  Ref<float> r(inputs, results);
  (*room.reference)(attrs, r);
  return r.finish();
}

std::vector<Tensor> run_reference(const Room& room, const Attributes& attrs,
                                  std::span<const Tensor* const> inputs, const std::string& where) {
  std::vector<Datum> held(inputs.size());
  std::vector<const Datum*> data(inputs.size(), nullptr);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i]) continue;
    held[i] = *inputs[i];
    data[i] = &held[i];
  }
  return to_tensors(run_reference(room, attrs, data, where),
                    where.empty() ? room.full_name() : where);
}

}  // namespace espalier
