#include "cli/compile_options.h"

#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/threads.h"

namespace espalier::cli {

void CompileFlags::add_to(CLI::App& app) {
  app.add_flag("--strict", strict, "Fail where no fast kernel serves a node");
  app.add_flag("--explain", explain, "Say on standard error why kernels do not apply");
  app.add_option("--disable-pass", disabled_passes, "Leave out a pass (repeatable)")
      ->allow_extra_args(false);
}

CompileOptions CompileFlags::options() const {
  CompileOptions o;
  o.threads = num_threads();
  o.strict = strict;
  o.disabled_passes = disabled_passes;
  if (explain)
    o.explain = [](const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); };
  return o;
}

}  // namespace espalier::cli
