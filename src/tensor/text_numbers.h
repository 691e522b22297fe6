// Numbers written as text and read from it, element by element, as ONNX's Cast has it.
#pragma once

#include "tensor/tensor.h"

namespace espalier {

/// Strings: floats in the fewest digits that tell them apart, with a point or an exponent ("0.5",
/// "3.0", "1e-05"), "INF", "-INF" and "NaN"; integers in decimal; "True" and "False".
Tensor numbers_as_text(const Tensor& numbers);
/// The inverse. Floats take plain and scientific notation, signs, infinities and NaN in any case;
/// booleans also "0" and "1". UserError for anything else, and for integers that do not fit.
Tensor text_as_numbers(const Tensor& text, DType to);

}  // namespace espalier
