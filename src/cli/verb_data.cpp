// espalier data: which kinds of data there are, what a spec holds, and data written to a file.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>

#include "cli/model_file.h"
#include "cli/output.h"
#include "cli/verb.h"
#include "data/source.h"
#include "formats/npy.h"

namespace espalier::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Args {
  std::string spec, output;
};

Json keys_json(const std::vector<DataKey>& keys) {
  Json o = Json::object();
  for (const DataKey& k : keys) o[k.name] = k.help;
  return o;
}

void print_keys(const char* title, const std::vector<DataKey>& keys) {
  if (keys.empty()) return;
  std::printf("%s\n", title);
  Table table({"", "", ""});
  for (const DataKey& k : keys) table.row({"   ", k.name, k.help});
  std::fputs(table.text().substr(1).c_str(), stdout);
}

ExitCode list_kinds(const Common& common) {
  if (common.json) {
    Json kinds = Json::array();
    for (const DataKind& k : data_kinds())
      kinds.push_back(
          {{"kind", k.name}, {"usage", k.usage}, {"what", k.what}, {"keys", keys_json(k.keys)}});
    print_json({{"kinds", std::move(kinds)}, {"keys", keys_json(common_data_keys())}});
    return ExitCode::kOk;
  }
  for (const DataKind& k : data_kinds()) {
    std::printf("%s\n    %s\n", k.usage, k.what);
    print_keys("  keys:", k.keys);
  }
  print_keys("keys of every kind:", common_data_keys());
  return ExitCode::kOk;
}

ExitCode make(const Args& args, const Common& common) {
  const DataSpec spec = DataSpec::parse(args.spec);
  if (!args.output.empty()) refuse_overwriting(args.output, common);
  const auto data = load_dataset(spec, Split::all);
  if (!args.output.empty()) {
    std::vector<int64_t> all(size_t(data->size()));
    std::iota(all.begin(), all.end(), 0);
    const Batch batch = data->fetch(all);
    save_npz(args.output, {{"x", batch.inputs}, {"y", batch.targets}});
  }
  Shape shape = data->sample_shape();
  if (common.json)
    print_json({{"data", data->description()},
                {"samples", data->size()},
                {"shape", shape},
                {"classes", data->classes()},
                {"output", args.output}});
  else
    std::printf("%s: samples %s, %lld classes%s%s\n", data->description().c_str(),
                to_string(shape).c_str(), static_cast<long long>(data->classes()),
                args.output.empty() ? "" : " -> ", args.output.c_str());
  return ExitCode::kOk;
}

}  // namespace

Action data_verb(CLI::App& app) {
  auto args = std::make_shared<Args>();
  auto action = std::make_shared<Action>();
  app.require_subcommand(1);
  app.fallthrough();
  app.add_subcommand("list", "The kinds of data and their keys")->callback([action] {
    *action = list_kinds;
  });
  CLI::App* making = app.add_subcommand("make", "Read, decode or generate data; write it as .npz");
  making->add_option("spec", args->spec, "kind:path?key=value&…")->required()->option_text("SPEC");
  making->add_option("-o,--output", args->output, "An .npz file with x (f32, normalised) and y");
  making->callback(
      [action, args] { *action = [args](const Common& common) { return make(*args, common); }; });
  app.footer(
      "Examples:\n"
      "  espalier data list\n"
      "  espalier data make 'synthetic:glyphs?split=test' -o glyphs.npz\n"
      "  espalier data make idx:data/mnist                  reads it and says what it holds");
  return [action](const Common& common) { return (*action)(common); };
}

}  // namespace espalier::cli
