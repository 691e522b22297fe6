#include "deploy/c_parts.h"

#include <algorithm>
#include <sstream>

#include "base/error.h"

namespace espalier {
namespace {

const CPart& part_named(const std::string& name) {
  for (const CPart& part : c_parts())
    if (part.name == name) return part;
  ESP_CHECK(false, "runtime/c has no file " + name);
  std::abort();
}

void append(const std::string& name, std::vector<std::string>& done,
            std::vector<std::string>& standard, std::string& text) {
  if (std::ranges::find(done, name) != done.end()) return;
  done.push_back(name);
  std::istringstream lines(part_named(name).text);
  std::string own;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("#include \"")) {
      append(line.substr(10, line.size() - 11), done, standard, text);
    } else if (line.starts_with("#include <")) {
      if (std::ranges::find(standard, line) == standard.end()) standard.push_back(line);
    } else if (!line.ends_with("_H")) {
      own += line + "\n";
    }
  }
  // The guard's lines end in _H but for the last of the file.
  own.erase(own.rfind("#endif"));
  // One empty line between definitions.
  while (own.find("\n\n\n") != std::string::npos) own.replace(own.find("\n\n\n"), 3, "\n\n");
  text += own;
}

}  // namespace

std::string bundled_parts(const std::vector<std::string>& names,
                          std::vector<std::string>& standard) {
  std::vector<std::string> done;
  std::string text;
  for (const std::string& name : names) append(name, done, standard, text);
  return text;
}

}  // namespace espalier
