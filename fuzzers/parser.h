// What every parser owes whatever it is given: an answer or one UserError, in bounded memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"

namespace espalier::fuzz {

/// Ends the process where more memory is held at once than four times the input and 64 MB, beyond
/// what was held before. One at a time.
class MemoryLimit {
 public:
  explicit MemoryLimit(size_t input_bytes);
  ~MemoryLimit();
  MemoryLimit(const MemoryLimit&) = delete;
  MemoryLimit& operator=(const MemoryLimit&) = delete;
};

/// Gives the input to a parser. All that is not a UserError is a finding.
template <class Parse>
int feed(const uint8_t* data, size_t size, Parse parse) {
  const MemoryLimit limit(size);
  try {
    parse(std::string_view(reinterpret_cast<const char*>(data), size));
  } catch (const UserError&) {
  }
  return 0;
}

}  // namespace espalier::fuzz

/// Defines the program: `expression` reads `bytes`.
#define ESP_FUZZ_PARSER(expression)                                                              \
  extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {                      \
    return espalier::fuzz::feed(data, size, [](std::string_view bytes) { (void)(expression); }); \
  }
