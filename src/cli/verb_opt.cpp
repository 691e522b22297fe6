// espalier opt: passes on a network, for those who write and debug them.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "cli/model_file.h"
#include "cli/output.h"
#include "cli/values.h"
#include "cli/verb.h"
#include "ir/text.h"
#include "passes/passes.h"

namespace espalier::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Args {
  ModelOptions model;
  std::vector<std::string> passes, disabled;
  std::string output;
  bool list = false;
  bool elide = false;
};

ExitCode list_passes(const Common& common) {
  Json list = Json::array();
  Table table({"pass", "what it does"});
  for (const Pass& p : all_passes()) {
    list.push_back({{"name", p.name}, {"description", p.description}});
    table.row({std::string(p.name), std::string(p.description)});
  }
  if (common.json)
    print_json({{"passes", std::move(list)}});
  else
    table.print();
  return ExitCode::kOk;
}

ExitCode optimise(const Args& args, const Common& common) {
  if (args.list) return list_passes(common);
  if (args.model.path.empty())
    throw usage_error("opt", "a network is needed", "espalier opt --help");
  if (!args.output.empty()) refuse_overwriting(args.output, common);
  const bool fixed = args.model.batch > 0 || !args.model.shape_texts.empty();
  Graph g = fixed ? args.model.load_static() : args.model.load();
  Json reports = Json::array();
  PassOptions options;
  options.disabled = args.disabled;
  options.verify_each = true;
  options.report = [&](const PassReport& r) {
    reports.push_back({{"name", r.name}, {"changes", r.changes}, {"ms", r.milliseconds}});
    log_info(std::string(r.name) + ": " + std::to_string(r.changes) + " changes, " +
             short_number(r.milliseconds, 3) + " ms");
  };
  for (const auto& name : args.passes) pass_named(name);
  if (args.passes.empty())
    run_passes(g, options);
  else
    run_passes(g, options, args.passes);
  const Graph result = g.compacted();
  if (!args.output.empty()) save_model(result, args.output);
  const std::string text = print(result, {.elide_large = args.elide});
  if (common.json)
    print_json({{"passes", std::move(reports)}, {"nodes", result.order().size()}, {"text", text}});
  else if (args.output.empty())
    std::fputs(text.c_str(), stdout);
  return ExitCode::kOk;
}

}  // namespace

Action opt_verb(CLI::App& app) {
  auto args = std::make_shared<Args>();
  args->model.keep_regions = true;
  args->model.add_to(app);
  app.get_option("model")->required(false);
  app.add_option("--pass", args->passes,
                 "A pass to run, in order (repeatable; default: all that "
                 "inference wants)")
      ->delimiter(',')
      ->allow_extra_args(false);
  app.add_option("--disable-pass", args->disabled, "Leave out a pass (repeatable)")
      ->allow_extra_args(false);
  app.add_option("-o,--output", args->output, "Write the result here instead of printing it")
      ->check(given("the file name"));
  app.add_flag("--elide", args->elide, "Leave out the bytes of large constants, to read");
  app.add_flag("--list", args->list, "List the passes");
  app.footer(
      "Examples:\n"
      "  espalier opt net.onnx --elide                       what the compiler makes of it\n"
      "  espalier opt --pass=fold_constants net.esp          one pass\n"
      "  espalier opt --list");
  return [args](const Common& common) { return optimise(*args, common); };
}

}  // namespace espalier::cli
