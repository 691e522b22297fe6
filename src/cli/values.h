// What the values of options may be: checks that say in one sentence what they want.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

namespace CLI {
class Validator;
}

namespace espalier::cli {

/// "--epochs: '0' is not a whole number of at least 1". Decimal digits only. Use as a transform.
CLI::Validator whole_number(int64_t least, int64_t most = std::numeric_limits<int64_t>::max());
/// "--seconds: 'nan' is not a number between 0.01 and 3600". Finite.
CLI::Validator finite_number(double least, double most = std::numeric_limits<double>::infinity());
/// Not empty: "--output: the name is empty", where `what` is "the name".
CLI::Validator given(const std::string& what);

}  // namespace espalier::cli
