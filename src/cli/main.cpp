#include "base/threads.h"
#include "cli/cli.h"

int main(int argc, char** argv) {
  espalier::bound_spinning(argv);
  return espalier::cli::run(argc, argv);
}
