// printf into a string.
#pragma once

#include <string>

namespace espalier {

[[gnu::format(printf, 1, 2)]] std::string formatted(const char* format, ...);

}  // namespace espalier
