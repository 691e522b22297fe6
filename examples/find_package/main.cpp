// The smallest program that links Espalier.
#include <espalier/version.h>

#include <cstdio>

int main() {
  std::printf("espalier %s\n", espalier::version());
  return 0;
}
