// The two picture decoders behind formats/images.h.
//
// Both libraries report errors by longjmp. It is only ever taken across frames of plain C data: the
// functions that call setjmp hold nothing with a destructor, their callers own the memory.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "formats/images.h"

namespace espalier {

/// Larger pictures are refused: their size fields are more likely damaged than meant.
inline constexpr uint64_t kMaxPixels = uint64_t{1} << 28;

Image decode_png(std::string_view bytes, const std::string& where);
Image decode_jpeg(std::string_view bytes, const std::string& where);

}  // namespace espalier
