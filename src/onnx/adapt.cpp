#include "onnx/adapt.h"

#include <array>
#include <map>

#include "base/error.h"
#include "ir/registry.h"

namespace espalier {
namespace {

template <class T>
std::optional<T> take(Call& call, const std::string& name) {
  const auto it = call.attrs.find(name);
  if (it == call.attrs.end()) return std::nullopt;
  T* value = std::get_if<T>(&it->second);
  if (!value) call.malformed("attribute '" + name + "' has the wrong kind");
  std::optional<T> taken = std::move(*value);
  call.attrs.erase(it);
  return taken;
}

void require_ranked_operands(const Call& call) {
  for (size_t i = 0; i < call.inputs.size(); ++i)
    if (call.has(i)) call.type(i);
}

using Table = std::multimap<std::string_view, Adapter>;

const Table& table() {
  static const Table adapters = [] {
    Table t;
    for (const auto family :
         {pointwise_adapters(), movement_adapters(), layer_adapters(), resize_adapters(),
          quantization_adapters(), retired_adapters(), microsoft_layer_adapters(),
          microsoft_attention_adapters(), microsoft_grouped_adapters(),
          microsoft_integer_adapters(), control_adapters()})
      for (const Adapter& a : family) t.emplace(a.op, a);
    return t;
  }();
  return adapters;
}

}  // namespace

const TensorType& Call::type(size_t i) const {
  if (!has(i)) malformed("operand " + std::to_string(i) + " is missing");
  const Type& t = b.graph().value(inputs[i]).type;
  if (!t.is_tensor()) refuse("operand " + std::to_string(i) + " is " + to_string(t));
  return t.tensor();
}

const Tensor& Call::constant(size_t i, const std::string& what) const {
  if (!has(i)) malformed("operand " + std::to_string(i) + " is missing");
  if (!b.graph().is_constant(inputs[i]))
    refuse(what + " ('" + b.graph().value(inputs[i]).name + "') is computed while running",
           "make it a constant of the model");
  return *b.graph().value(inputs[i]).constant;
}

std::vector<int64_t> Call::ints(size_t i, const std::string& what) const {
  const Tensor& t = constant(i, what);
  if (t.dtype() == DType::string) malformed("is given " + what + " as strings, numbers are needed");
  return t.to_i64();
}

ValueId Call::setting(Tensor value) {
  const ValueId v = b.constant(std::move(value));
  settings.insert(v);
  return v;
}

void Call::expect(size_t least, size_t most) const {
  if (inputs.size() < least || inputs.size() > most)
    malformed("has " + std::to_string(inputs.size()) + " operands, " + std::to_string(least) +
              (least == most ? "" : " to " + std::to_string(most)) + " are needed");
  for (size_t i = 0; i < least; ++i)
    if (!has(i)) malformed("operand " + std::to_string(i) + " is missing");
  if (!attrs.empty()) malformed("attribute '" + attrs.begin()->first + "' is not known");
}

void Call::set_input(size_t i, ValueId value) {
  if (inputs.size() <= i) inputs.resize(i + 1, kNoValue);
  inputs[i] = value;
}

std::optional<int64_t> Call::take_int(const std::string& n) { return take<int64_t>(*this, n); }
std::optional<float> Call::take_float(const std::string& n) { return take<float>(*this, n); }
std::optional<std::string> Call::take_string(const std::string& n) {
  return take<std::string>(*this, n);
}
std::optional<std::vector<int64_t>> Call::take_ints(const std::string& n) {
  return take<std::vector<int64_t>>(*this, n);
}
std::optional<std::vector<float>> Call::take_floats(const std::string& n) {
  return take<std::vector<float>>(*this, n);
}

void Call::refuse(const std::string& what, const std::string& hint) const {
  throw unsupported(where, what, hint);
}
void Call::malformed(const std::string& what) const { throw bad_input(where, what); }

std::optional<Values> adapt(Call& call) {
  if (call.domain.empty() && call.opset < 6) call.attrs.erase("consumed_inputs");
  // An adapter that changes the operator hands over to that operator's adapters.
  for (bool renamed = true; renamed;) {
    const std::string op = call.op;
    renamed = false;
    const auto [first, last] = table().equal_range(op);
    for (auto it = first; it != last && !renamed; ++it) {
      const Adapter& a = it->second;
      if (a.domain != call.domain || call.opset < a.from || call.opset >= a.until) continue;
      if (!a.domain.empty()) require_ranked_operands(call);
      if (auto results = a.apply(call)) return results;
      renamed = call.op != op;
    }
  }
  return std::nullopt;
}

bool importable(std::string_view op, std::string_view domain, int64_t opset) {
  if (find_room(op, domain)) return true;
  const auto [first, last] = table().equal_range(op);
  for (auto it = first; it != last; ++it) {
    const Adapter& a = it->second;
    if (a.domain != domain || opset < a.from || opset >= a.until) continue;
    if (!a.domain.empty() || (!a.becomes.empty() && find_room(a.becomes))) return true;
  }
  return false;
}

std::string_view why_not_importable(std::string_view op) {
  struct Reason {
    std::string_view op, why;
  };
  static constexpr std::array kReasons = {
      Reason{"ImageDecoder", "images are decoded before the network"},
      Reason{"StringSplit", "its result's extent depends on the text"},
      Reason{"RegexFullMatch", "regular expressions are matched before the network"},
      Reason{"Tokenizer", "text is cut into tokens before the network"},
      Reason{"PackedAttention", "sequences without padding have no place here"},
      Reason{"PackedMultiHeadAttention", "sequences without padding have no place here"},
      Reason{"BeamSearch", "a search runs outside the network"},
      Reason{"GreedySearch", "a search runs outside the network"},
      Reason{"Sampling", "a search runs outside the network"},
      Reason{"EPContext", "it is compiled for another runtime"},
  };
  for (const Reason& r : kReasons)
    if (r.op == op) return r.why;
  return "";
}

}  // namespace espalier
