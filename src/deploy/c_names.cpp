#include "deploy/c_names.h"

#include <algorithm>
#include <cctype>

namespace espalier {
namespace {

const std::set<std::string>& reserved() {
  static const std::set<std::string> words = {
      "auto",     "break",  "case",      "char",     "const",    "continue", "default",  "do",
      "double",   "else",   "enum",      "extern",   "float",    "for",      "goto",     "if",
      "inline",   "int",    "long",      "register", "restrict", "return",   "short",    "signed",
      "sizeof",   "static", "struct",    "switch",   "typedef",  "union",    "unsigned", "void",
      "volatile", "while",  "class",     "new",      "delete",   "this",     "template", "operator",
      "private",  "public", "namespace", "bool",     "true",     "false",    "try",      "catch"};
  return words;
}

bool in_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

}  // namespace

bool mentions(const std::string& text, const std::string& name) {
  for (size_t at = 0; (at = text.find(name, at)) != std::string::npos; at += name.size()) {
    const size_t end = at + name.size();
    if ((at == 0 || !in_word(text[at - 1])) && (end == text.size() || !in_word(text[end])))
      return true;
  }
  return false;
}

std::string c_identifier(const std::string& name) {
  std::string id;
  for (char c : name) {
    const bool fits =
        std::isalnum(static_cast<unsigned char>(c)) && static_cast<unsigned char>(c) < 128;
    if (fits)
      id += c;
    else if (!id.empty() && id.back() != '_')
      id += '_';
  }
  while (!id.empty() && id.back() == '_') id.pop_back();
  if (id.empty()) id = "value";
  if (std::isdigit(static_cast<unsigned char>(id[0])) || reserved().contains(id)) id = "v" + id;
  return id;
}

std::string upper_case(std::string name) {
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return char(std::toupper(c)); });
  return name;
}

std::string c_comment(std::string text) {
  for (size_t at = 0; (at = text.find("*/", at)) != std::string::npos;) text.replace(at, 2, "* /");
  for (size_t at = 0; (at = text.find("/*", at)) != std::string::npos;) text.replace(at, 2, "/ *");
  std::ranges::replace(text, '\n', ' ');
  std::ranges::replace(text, '\\', '/');
  return text;
}

std::string CNames::fresh(const std::string& prefix, const std::string& name) {
  const std::string base = prefix + c_identifier(name);
  std::string id = base;
  while (!taken_.insert(id).second) id = base + "_" + std::to_string(++next_[base]);
  return id;
}

}  // namespace espalier
