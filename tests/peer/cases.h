// Single nodes that ONNX Runtime was asked about once; its answers stand in answers.txt.
//
// To ask again (bench/ort_peer.cjs says where ONNX Runtime is looked for):
//   ESPALIER_PEER_CASES=/tmp/cases build/release/tests/test_peer --gtest_filter='*WriteCases*'
//   node tests/peer/ort_answers.cjs /tmp/cases > tests/peer/answers.txt
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "tests/onnx/models.h"

namespace espalier::testing {

/// One node with the values of its operands.
class PeerCase {
 public:
  /// `name` says what is covered: "Attention.raw_mask". The operator may have a domain before it.
  PeerCase(std::string name, std::string op, int64_t opset = 17)
      : name_(std::move(name)), op_(std::move(op)), model_(opset) {}

  /// An operand that is fed.
  PeerCase& fed(Tensor value);
  /// An operand that is stored in the model.
  PeerCase& stored(const Tensor& value);
  /// The same in 4 bits.
  PeerCase& stored_in_four_bits(const Tensor& value);
  PeerCase& omitted();
  PeerCase& with(const std::string& attribute, AttributeValue value);
  /// The results' element types, f32 once unless said; kNothing for one that nobody asks for.
  PeerCase& gives(std::vector<int> types);
  /// Answers may differ by this much: of the value, or of 1 where values are smaller. Integers by
  /// this many units.
  PeerCase& within(double tolerance);

  const std::string& name() const { return name_; }
  double tolerance() const { return tolerance_; }
  const std::vector<Tensor>& feed() const { return feed_; }
  /// The finished model.
  OnnxModel model() const;

  static constexpr int kNothing = 0, kFloat = 1, kU8 = 2, kI8 = 3, kI32 = 6, kI64 = 7, kString = 8,
                       kBool = 9;

 private:
  std::string next() { return "x" + std::to_string(operands_.size()); }

  std::string name_, op_;
  OnnxModel model_;
  std::vector<std::string> operands_;
  std::vector<Tensor> feed_;
  AttributeMap attributes_;
  std::vector<int> types_ = {kFloat};
  double tolerance_ = 2e-5;
};

/// For GoogleTest's messages.
inline void PrintTo(const PeerCase& c, std::ostream* out) { *out << c.name(); }

std::vector<PeerCase> attention_cases();
std::vector<PeerCase> layer_cases();
std::vector<PeerCase> integer_cases();
std::vector<PeerCase> opset_cases();
std::vector<PeerCase> all_cases();

}  // namespace espalier::testing
