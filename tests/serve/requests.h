// Requests of the protocol for tests: parsed, and what is said of those that are refused.
#pragma once

#include <concepts>
#include <string>

#include "base/error.h"
#include "serve/message.h"
#include "serve/protocol.h"

namespace espalier::serve {

inline InferRequest parse(const std::string& body) { return parse_infer(body, std::nullopt, {}); }

/// JSON and the binary part behind it.
inline InferRequest parse_binary(const std::string& text, const std::string& binary) {
  return parse_infer(text + binary, std::to_string(text.size()), {});
}

/// "where: what" of the UserError, or "413: what" of the Rejection.
template <std::invocable F>
std::string told(F&& f) {
  try {
    f();
  } catch (const UserError& e) {
    return e.what();
  } catch (const Rejection& e) {
    return std::to_string(e.status()) + ": " + e.what();
  }
  return "(accepted)";
}
inline std::string told(const std::string& body) {
  return told([&] { parse(body); });
}

inline std::string with_input(const std::string& fields) {
  return R"({"inputs": [{"name": "x", )" + fields + "}]}";
}

}  // namespace espalier::serve
