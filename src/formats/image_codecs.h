// The two picture decoders behind formats/images.h.
//
// Both libraries report errors by longjmp. It is only ever taken across frames of plain C data: the
// functions that call setjmp hold nothing with a destructor, their callers own the memory.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "formats/images.h"

namespace espalier {

// Pictures above `most_pixels` are refused before memory for them is taken.
Image decode_png(std::string_view bytes, const std::string& where, uint64_t most_pixels);
Image decode_jpeg(std::string_view bytes, const std::string& where, uint64_t most_pixels);

inline UserError too_large(const std::string& where, uint64_t most_pixels) {
  return bad_input(where, "has more than " + std::to_string(most_pixels) + " pixels");
}

}  // namespace espalier
