#include "cli/compile_options.h"

#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/threads.h"
#include "cost/model.h"
#include "runtime/machine.h"
#include "runtime/tuned_kernels.h"

namespace espalier::cli {

void CompileFlags::add_to(CLI::App& app) {
  app.add_flag("--strict", strict, "Fail where no fast kernel serves a node");
  app.add_flag("--explain", explain, "Say on standard error why kernels do not apply");
  app.add_flag("--by-cost", by_cost, "Fuse only what calibrate's cost model expects to gain by it");
  app.add_flag("--tuned", tuned,
               "Use the kernels that bench --tune found to be faster on this machine");
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
  if (by_cost)
    o.cost_model = std::make_shared<const CostModel>(
        load_cost_model(tables_path(machine_id(o.threads)), machine_id(o.threads)));
  if (tuned) o.choices = tuned_choices(o.threads);
  return o;
}

std::shared_ptr<const KernelChoices> tuned_choices(int threads) {
  if (auto kernels = machine_tuned_kernels(threads)) return kernels;
  throw bad_input("--tuned", "nothing was tuned for " + machine_id(threads).text(),
                  "run espalier bench MODEL --tune 30s at --threads " + std::to_string(threads));
}

}  // namespace espalier::cli
