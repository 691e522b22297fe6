// Constant, ONNX opset 13: the value its one attribute holds.
#include "ops/common.h"
#include "ops/emit.h"

namespace espalier::ops {
namespace {

struct Constant {
  std::optional<Tensor> value;
  std::optional<float> value_float;
  std::optional<std::vector<float>> value_floats;
  std::optional<int64_t> value_int;
  std::optional<std::vector<int64_t>> value_ints;
  std::optional<std::string> value_string;
  std::optional<std::vector<std::string>> value_strings;
};

template <class T>
Tensor list(const std::vector<T>& values) {
  return Tensor::from<T>({int64_t(values.size())}, std::span<const T>(values));
}

/// The value, or nothing unless exactly one attribute is given.
std::optional<Tensor> value_of(const Constant& a) {
  std::vector<Tensor> given;
  if (a.value) given.push_back(*a.value);
  if (a.value_float) given.push_back(Tensor::scalar(*a.value_float));
  if (a.value_floats) given.push_back(list(*a.value_floats));
  if (a.value_int) given.push_back(Tensor::scalar(*a.value_int));
  if (a.value_ints) given.push_back(list(*a.value_ints));
  if (a.value_string) given.push_back(Tensor::scalar(*a.value_string));
  if (a.value_strings) given.push_back(list(*a.value_strings));
  if (given.size() != 1) return std::nullopt;
  return given[0];
}

Types infer(const Constant& a, const TypesIn& in) {
  const auto value = value_of(a);
  if (!value) in.fail("exactly one of its value attributes must be given");
  return {TensorType(value->dtype(), value->shape())};
}

template <class Real>
void reference(const Constant& a, Ref<Real>& r) {
  r.out_tensor(0) = *value_of(a);
}

Values gradient(const Constant&, Builder&, const Tape&) { return {}; }

Cost cost(const Constant&, const TypesIn&, const Types&) { return {}; }

AxisMap axes(const Constant&, const TypesIn&, const Types&) { return {}; }

std::optional<Tensor> known(const Constant& a, const TypesIn&) { return value_of(a); }

void emit(const Constant& a, CWriter& c) { emit_constant(c, *value_of(a)); }

}  // namespace

const Room& constant() {
  static const Room room = make_room<Constant>({
      .onnx = {"Constant", 13},
      .arity = {0, 0},
      .attributes = {{"value", &Constant::value},
                     {"value_float", &Constant::value_float},
                     {"value_floats", &Constant::value_floats},
                     {"value_int", &Constant::value_int},
                     {"value_ints", &Constant::value_ints},
                     {"value_string", &Constant::value_string},
                     {"value_strings", &Constant::value_strings}},
      .infer = infer,
      .reference = ESP_REFERENCE(Constant, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{Tensor::from<float>({2}, {1.5f, -2})}, {}},
                  {{.value_ints = std::vector<int64_t>{3, 4}}, {}}},
      .known = known,
  });
  return room;
}

}  // namespace espalier::ops
