// Base64 (RFC 4648) for the bytes of large constants in the text form.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace espalier {

std::string to_base64(std::string_view bytes);
/// Nothing if the text is not base64.
std::optional<std::string> from_base64(std::string_view text);

}  // namespace espalier
