#include "tests/peer/cases.h"

#include "ir/room.h"

namespace espalier::testing {

PeerCase& PeerCase::fed(Tensor value) {
  model_.input(next(), value.shape(), int32_t(detail::onnx_number(value.dtype())));
  operands_.push_back(next());
  feed_.push_back(std::move(value));
  return *this;
}
PeerCase& PeerCase::stored(const Tensor& value) {
  model_.constant(next(), value);
  operands_.push_back(next());
  return *this;
}
PeerCase& PeerCase::stored_in_four_bits(const Tensor& value) {
  model_.four_bit(next(), value);
  operands_.push_back(next());
  return *this;
}
PeerCase& PeerCase::omitted() {
  operands_.emplace_back();
  return *this;
}
PeerCase& PeerCase::with(const std::string& attribute, AttributeValue value) {
  attributes_[attribute] = std::move(value);
  return *this;
}
PeerCase& PeerCase::gives(std::vector<int> types) {
  types_ = std::move(types);
  return *this;
}
PeerCase& PeerCase::within(double tolerance) {
  tolerance_ = tolerance;
  return *this;
}

OnnxModel PeerCase::model() const {
  OnnxModel m = model_;
  std::vector<std::string> results;
  for (size_t i = 0; i < types_.size(); ++i) {
    results.push_back(types_[i] == kNothing ? "" : "y" + std::to_string(i));
    if (types_[i] != kNothing) m.output(results.back(), types_[i]);
  }
  m.node(op_, operands_, results, attributes_, "node");
  return m;
}

std::vector<PeerCase> all_cases() {
  std::vector<PeerCase> all;
  for (auto make : {attention_cases, layer_cases, integer_cases, opset_cases})
    for (PeerCase& c : make()) all.push_back(std::move(c));
  return all;
}

}  // namespace espalier::testing
