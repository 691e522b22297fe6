// espalier prune: one-shot structured pruning by magnitude.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/model_file.h"
#include "cli/output.h"
#include "cli/values.h"
#include "cli/verb.h"
#include "compress/budget.h"
#include "compress/restrict.h"

namespace espalier::cli {
namespace {

struct Args {
  ModelOptions model;
  std::string output, macs, keep;
  CutBudget budget;
};

/// "50%" or "0.5".
double share_of(const std::string& text, const std::string& option) {
  size_t used = 0;
  double share = -1;
  try {
    share = std::stod(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  const std::string unit = text.substr(std::min(used, text.size()));
  if (unit == "%") share /= 100;
  if (used == 0 || (unit != "%" && !unit.empty()) || !(share > 0 && share <= 1))
    throw usage_error(option + " " + text, "is no share", "write it like 50% or 0.5");
  return share;
}

Keep choose(const Args& args, const AxisClasses& classes) {
  if (!args.keep.empty())
    return uniform_cut(classes, share_of(args.keep, "--keep"), args.budget.width_multiple);
  CutBudget budget = args.budget;
  budget.macs = share_of(args.macs, "--macs");
  return magnitude_cut(classes, budget);
}

ExitCode prune(const Args& args, const Common& common) {
  if (args.macs.empty() == args.keep.empty())
    throw usage_error("prune", "takes one of --macs and --keep",
                      "--macs 50% sets the cost to reach, --keep 50% the part of each class");
  refuse_overwriting(args.output, common);
  const Graph g = args.model.load();
  const AxisClasses classes = axis_classes(g, args.model.shapes_of(g));
  if (classes.classes.empty())
    throw unsupported(args.model.path, "has nothing that can be cut by itself",
                      "inspect --classes says what ties its axes");
  const Keep keep = choose(args, classes);
  save_model(restrict(g, classes, keep), args.output);
  const CutCost before = cost_of_cut(classes, Keep::all(classes));
  const CutCost after = cost_of_cut(classes, keep);
  if (common.json) {
    nlohmann::ordered_json cut = nlohmann::ordered_json::array();
    for (size_t c = 0; c < classes.classes.size(); ++c)
      cut.push_back({{"class", classes.classes[c].name},
                     {"groups", classes.classes[c].groups.size()},
                     {"kept", keep.kept(c)}});
    print_json({{"model", args.model.path},
                {"output", args.output},
                {"macs", after.macs},
                {"macs_before", before.macs},
                {"params", after.params},
                {"params_before", before.params},
                {"classes", std::move(cut)}});
    return ExitCode::kOk;
  }
  Table table({"class", ">groups", ">kept"});
  for (size_t c = 0; c < classes.classes.size(); ++c)
    table.row({classes.classes[c].name, std::to_string(classes.classes[c].groups.size()),
               std::to_string(keep.kept(c))});
  table.print();
  std::printf("\n%s of %s MACs, %s of %s parameters\n", short_count(after.macs).c_str(),
              short_count(before.macs).c_str(), short_count(after.params).c_str(),
              short_count(before.params).c_str());
  if (!common.quiet)
    std::fprintf(stderr,
                 "Cut in one shot by magnitude: fine-tune it (espalier train), or let espalier fit "
                 "prune while it trains.\n");
  return ExitCode::kOk;
}

}  // namespace

Action prune_verb(CLI::App& app) {
  auto args = std::make_shared<Args>();
  args->model.add_to(app);
  app.add_option("-o,--output", args->output, "Where to: .onnx, .esp or .plan")
      ->required()
      ->check(given("the file name"));
  app.add_option("--macs", args->macs, "Multiply-accumulates to reach, as a share: 50%");
  app.add_option("--keep", args->keep, "Share of each class that stays instead: 50%");
  app.add_option("--multiple", args->budget.width_multiple,
                 "Widths become multiples of this; layers narrower than it are not held to it")
      ->transform(whole_number(1, 1024))
      ->capture_default_str();
  app.footer(
      "Examples:\n"
      "  espalier prune net.onnx --macs 50% -o half.onnx\n"
      "  espalier prune net.onnx --macs 50% --multiple 16 -o half.onnx   widths kernels like\n"
      "  espalier prune net.onnx --keep 75% -o narrow.onnx               each layer alike\n"
      "Channels, units and heads of least magnitude are cut out of all tensors they touch, "
      "without\n"
      "data and without training: fine-tuning afterwards is advised.");
  return [args](const Common& common) { return prune(*args, common); };
}

}  // namespace espalier::cli
