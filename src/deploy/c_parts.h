// The files of runtime/c, as they are bundled with exported C.
#pragma once

#include <string>
#include <vector>

namespace espalier {

struct CPart {
  std::string name;  ///< "conv.h"
  std::string text;
};

/// Every file; generated when the program is built.
const std::vector<CPart>& c_parts();
/// These files and those they include, each once, behind what it includes, without guards' need of
/// other files: the lines that include files of runtime/c are left out, those of the standard
/// library are collected in `standard`.
std::string bundled_parts(const std::vector<std::string>& names,
                          std::vector<std::string>& standard);

}  // namespace espalier
