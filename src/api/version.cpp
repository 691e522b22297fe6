// The version comes from project() in CMakeLists.txt, the one place where it is written.
#include "espalier/version.h"

namespace espalier {

const char* version() { return ESPALIER_VERSION; }

}  // namespace espalier
