// What is written beside boxes and wires.
#pragma once

#include <string>
#include <vector>

#include "ir/graph.h"

namespace espalier::diagram {

/// "[1, 1]", "0.5", "same_upper"; tensors and bodies by type or name.
std::string attribute_text(const AttributeValue& value);
/// "strides=[2, 2] group=4": attributes that are not at their default.
std::string attributes_text(const Node& node);
/// At most `most` characters of UTF-8 text, the last being "…" where some are left out.
std::string shortened(const std::string& text, size_t most);
/// The same from the end, where names differ: "…conv1.weight".
std::string shortened_name(const std::string& text, size_t most);
/// Characters of UTF-8 text.
size_t characters(const std::string& text);
/// As XML holds it, in text and between quotes; bytes that XML forbids become "\xNN".
std::string escaped(const std::string& text);
/// `text` with bytes that are no UTF-8 as "\xNN", which is how quoted strings of the text form
/// escape.
std::string with_valid_bytes(const std::string& text);

}  // namespace espalier::diagram
