#include "kernels/jit/integer_contraction.h"

#include <algorithm>

#include "kernels/jit/micro_kernel.h"

namespace espalier::kernels {

namespace {

bool is_8bit(DType t) { return t == DType::u8 || t == DType::i8; }

/// Why what is common to products and convolutions is not served; empty if it is.
std::string refusal(const IntegerContraction& c, DType weight) {
  if (!is_8bit(c.x_type) || weight != DType::i8) return "the operands are not 8 bit";
  if (!is_8bit(c.y_type) && c.y_type != DType::f32) return "the result is neither 8 bit nor f32";
  if (!c.weights) return "the weight is not known at compile time";
  if (c.channels == 0 || c.outputs == 0 || c.macs() == 0) return "a tensor is empty";
  const size_t scales = c.epilogue.scales.size();
  if (scales > 1 && scales != size_t(c.outputs)) return "the scales are not one per output";
  bool inside = true, residual = false;
  for (const EpilogueStep& s : c.epilogue.steps) {
    inside = inside && inlined(s, true);
    if (s.kind == EpilogueStep::Kind::kResidual) {
      if (residual || !inside) return "a residual is added late";
      residual = true;
    } else if (operands_of(s.op.code) != 1) {
      return "what follows is no function of one number";
    }
  }
  // Displacements of generated instructions have 32 bits.
  const int64_t reach = (int64_t{1} << 30) / kMostRegisters / int64_t(sizeof(float));
  if (c.strides[1] * c.channels > reach || c.outputs > reach) return "a row is too long";
  return "";
}

/// The bias, where it is known and one number per output; a reason where it is not.
std::string take_bias(const std::optional<Weight>& bias, IntegerContraction& c) {
  if (!bias) return "";
  if (bias->type != DType::f32 || !bias->constant || numel(bias->shape) != c.outputs)
    return "the bias is not one known number per output";
  c.bias = static_cast<const float*>(bias->constant);
  return "";
}

std::variant<IntegerContraction, std::string> checked(IntegerContraction c, DType weight,
                                                      const std::optional<Weight>& bias) {
  if (std::string why = take_bias(bias, c); !why.empty()) return why;
  if (std::string why = refusal(c, weight); !why.empty()) return why;
  return c;
}

}  // namespace

std::variant<IntegerContraction, std::string> integer_contraction(const ConvSpec& s) {
  const size_t spatial = s.x.size() - 2;
  if (s.x.size() < 3 || spatial > 2) return "it has not one or two spatial axes";
  if (s.geometry.groups != 1) return "it has groups";
  IntegerContraction c;
  c.x_type = s.x_type;
  c.y_type = s.y_type;
  c.x_zero_point = s.x_zero_point;
  c.images = s.x[0];
  c.channels = s.x[1];
  c.outputs = s.y[1];
  c.window_strides = {1, 1};
  for (size_t i = 0; i < spatial; ++i) {
    const size_t d = i + 2 - spatial;  // one axis is that of columns
    c.x[d] = s.x[i + 2];
    c.y[d] = s.y[i + 2];
    c.window[d] = s.weight.shape[i + 2];
    c.strides[d] = s.geometry.strides[i];
    c.dilations[d] = s.geometry.dilations[i];
    c.pads[d] = s.geometry.pads_begin[i];
    if (c.pads[d] < 0) return "it is cut instead of padded";
  }
  c.weights = static_cast<const int8_t*>(s.weight.constant);
  c.window_strides[0] = c.window[1];
  c.channel_stride = c.window[0] * c.window[1];
  c.output_stride = c.channels * c.channel_stride;
  c.epilogue = s.epilogue;
  c.x_operand = s.x_operand;
  const bool point = c.window == IntegerContraction::Pair{1, 1} &&
                     c.strides == IntegerContraction::Pair{1, 1} && c.x == c.y;
  if (point && c.pads == IntegerContraction::Pair{0, 0}) {  // all images are rows of one
    c.x = c.y = {c.images * c.x[0] * c.x[1], 1};
    c.images = 1;
  }
  return checked(std::move(c), s.weight.type, s.bias);
}

std::variant<IntegerContraction, std::string> integer_contraction(const MatmulSpec& s) {
  if (s.a.size() != 2 || s.b.size() != 2) return "it is several products";
  if (s.a_strides != std::vector<int64_t>{s.a[1], 1}) return "the first operand is not in rows";
  IntegerContraction c;
  c.x_type = s.a_type;
  c.y_type = s.y_type;
  c.channels = s.a[1];
  c.outputs = s.b[1];
  c.x = c.y = {s.a[0], 1};
  c.weights = static_cast<const int8_t*>(s.b_constant);
  c.output_stride = s.b_strides[1];
  c.channel_stride = s.b_strides[0];
  c.epilogue = s.epilogue;
  c.x_operand = s.a_operand;
  return checked(std::move(c), s.b_type, s.bias);
}

}  // namespace espalier::kernels
