// A node, or a fused region around one node, as binders of contractions see it: the operator, its
// operands with the dequantisation before each, what follows, and the quantisation at the end.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "bind/binder.h"
#include "kernels/convolution.h"

namespace espalier::bind {

/// Scale and zero point of a quantised value; both known constants.
struct QuantParams {
  std::vector<float> scales;
  std::vector<int32_t> zero_points;  ///< as many as scales
  int64_t axis = 1;                  ///< of the scales, where there are several
  DType type = DType::i8;            ///< of the integers

  bool symmetric() const;
};

struct ContractionOperand {
  TensorType type;                   ///< as stored (integers if dequantised)
  const Tensor* constant = nullptr;  ///< as stored
  int outer = -1;                    ///< operand of the request; -1 for constants inside a region
  std::optional<QuantParams> quant;  ///< dequantised before use
  bool transposed = false;           ///< its last two axes are exchanged before use
};

struct ContractionStep {
  ScalarOp op;                                 ///< kAdd: adds `residual`
  std::optional<ContractionOperand> residual;  ///< of the result's shape
};

struct Contraction {
  const Room* room = nullptr;
  Attributes attrs;
  std::vector<std::optional<ContractionOperand>> operands;
  TensorType result;  ///< of the operator itself; in bf16 where sums of integers leave so
  std::vector<ContractionStep> steps;
  std::optional<QuantParams> quantized;  ///< the result of the region is quantised so
  std::shared_ptr<const Graph> body;     ///< keeps constants alive

  bool has(size_t i) const { return i < operands.size() && operands[i]; }
  const ContractionOperand& operator[](size_t i) const { return *operands[i]; }
  /// Operand 0 is dequantised before use: the products are of integers.
  bool integer() const { return operands[0]->quant.has_value(); }
};

/// Parameters of a QuantizeLinear or DequantizeLinear node; nothing for other nodes and where they
/// are not known.
std::optional<QuantParams> quantization_of(const Graph& graph, NodeId node);

/// Whether the caller reads a second operand that is transposed inside the region.
enum class Transposed { kRefused, kRead };

/// The request as a contraction, or why it is none.
std::variant<Contraction, Refuse> contraction_of(const BindRequest& request,
                                                 Transposed transposed = Transposed::kRefused);

/// The body of a fused region for the request's operand types; null if the node is none.
std::shared_ptr<const Graph> region_body(const BindRequest& request);

/// The epilogue for a result in real numbers: residuals must be of the result's type or, for
/// 8-bit results, 8-bit as well. `sum_scales` is what turns the integer sum into real numbers
/// (empty for float contractions).
std::variant<kernels::Epilogue, Refuse> epilogue_of(const Contraction& c, DType result,
                                                    std::vector<float> sum_scales);

/// The type the kernel writes.
DType result_type(const Contraction& c);

/// Pairs of (result 0, residual operand) whose memory may be shared.
std::vector<std::pair<int, int>> residual_places(const Contraction& c);

}  // namespace espalier::bind
