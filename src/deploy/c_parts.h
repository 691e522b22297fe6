// The files of runtime/: what is bundled with exported C, and what runs that on a microcontroller.
#pragma once

#include <string>
#include <vector>

namespace espalier {

struct CPart {
  std::string name;  ///< "conv.h"
  std::string text;
};

/// Every file of runtime/c and of runtime/device; generated when the program is built.
const std::vector<CPart>& c_parts();
const std::vector<CPart>& device_parts();
/// These files and those they include, each once, behind what it includes, without guards' need of
/// other files: the lines that include files of runtime/c are left out, those of the standard
/// library are collected in `standard`.
std::string bundled_parts(const std::vector<std::string>& names,
                          std::vector<std::string>& standard);

}  // namespace espalier
