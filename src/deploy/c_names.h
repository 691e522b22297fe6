// Names in C for names of values and files.
#pragma once

#include <map>
#include <set>
#include <string>

namespace espalier {

/// Letters, digits and underscores in place of everything else; never empty, never a keyword, never
/// starting with a digit.
std::string c_identifier(const std::string& name);
std::string upper_case(std::string name);
/// Text that may stand in a comment.
std::string c_comment(std::string text);

/// Whether the text has that name as a word of its own.
bool mentions(const std::string& text, const std::string& name);

/// Names that are taken once.
class CNames {
 public:
  /// `prefix` and the identifier of `name`, with a number behind it where that is taken.
  std::string fresh(const std::string& prefix, const std::string& name);

 private:
  std::set<std::string> taken_;
  std::map<std::string, int> next_;
};

}  // namespace espalier
