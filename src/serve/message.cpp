#include "serve/message.h"

#include <strings.h>

namespace espalier::serve {

std::optional<std::string> Request::header(const std::string& name) const {
  for (const auto& [key, value] : headers)
    if (strcasecmp(key.c_str(), name.c_str()) == 0) return value;
  return std::nullopt;
}

}  // namespace espalier::serve
