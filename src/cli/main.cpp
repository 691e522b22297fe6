#include "base/restart.h"
#include "cli/cli.h"

int main(int argc, char** argv) {
  espalier::restart_with_settings(argv);
  return espalier::cli::run(argc, argv);
}
