// espalier data: which kinds of data there are, data written to files, public sets fetched.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/error.h"
#include "base/files.h"
#include "cli/model_file.h"
#include "cli/output.h"
#include "cli/values.h"
#include "cli/verb.h"
#include "data/make.h"
#include "data/text.h"
#include "formats/npy.h"

namespace espalier::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Args {
  std::string spec, name, output;
  std::string format = "idx";
  int64_t vocabulary = 512;
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
    Json sets = Json::array();
    for (const NamedSet& set : named_sets())
      sets.push_back({{"name", set.name}, {"what", set.what}});
    print_json({{"kinds", std::move(kinds)},
                {"keys", keys_json(common_data_keys())},
                {"sets", std::move(sets)}});
    return ExitCode::kOk;
  }
  for (const DataKind& k : data_kinds()) {
    std::printf("%s\n    %s\n", k.usage, k.what);
    print_keys("  keys:", k.keys);
  }
  print_keys("keys of every kind:", common_data_keys());
  std::printf("sets that `espalier data get` fetches:\n");
  Table table({"", "", ""});
  for (const NamedSet& set : named_sets()) table.row({"   ", set.name, set.what});
  std::fputs(table.text().substr(1).c_str(), stdout);
  return ExitCode::kOk;
}

void print_result(const Common& common, Json object) {
  if (common.json) {
    print_json(object);
    return;
  }
  for (const auto& [key, value] : object.items())
    std::printf("%s: %s\n", key.c_str(),
                value.is_string() ? value.get<std::string>().c_str() : value.dump().c_str());
}

/// One file with all samples as the network is fed them.
void write_npz(const Dataset& data, const std::string& path) {
  std::vector<int64_t> all(static_cast<size_t>(data.size()));
  std::iota(all.begin(), all.end(), 0);
  const Batch batch = data.fetch(all);
  save_npz(path, {{"x", batch.inputs}, {"y", batch.targets}});
}

/// The spec that yields what `write_npz` wrote: no part of it is held out, and all classes are
/// known although the labels may not show them.
std::string spec_of_npz(const Dataset& data, const std::string& path) {
  int64_t shown = 0;
  if (data.classes() > 0)
    for (int64_t i = 0; i < data.size(); ++i) shown = std::max(shown, data.targets().int_at(i) + 1);
  return "npz:" + path + "?split=all" +
         (shown < data.classes() ? "&classes=" + std::to_string(data.classes()) : "");
}

ExitCode make(const Args& args, const Common& common) {
  const DataSpec spec = DataSpec::parse(args.spec);
  const bool npz = std::filesystem::path(args.output).extension() == ".npz";
  if (npz) refuse_overwriting(args.output, common);
  const auto data = load_dataset(spec, Split::all);
  if (npz && data->bytes_per_target() > 0)
    throw unsupported(args.spec, "is text, which is no array", "text files are read as they are");
  Json result = {{"data", data->description()},
                 {"samples", data->size()},
                 {"shape", data->sample_shape()},
                 {"classes", data->classes()}};
  if (npz) {
    write_npz(*data, args.output);
    result["spec"] = spec_of_npz(*data, args.output);
  } else if (!args.output.empty()) {
    result["spec"] = make_data(spec, args.output, parse_data_format(args.format), common.overwrite);
  }
  print_result(common, result);
  return ExitCode::kOk;
}

ExitCode make_tokenizer(const Args& args, const Common& common) {
  const DataSpec spec = DataSpec::parse(args.spec);
  const std::string text = text_of(spec, Split::train);
  refuse_overwriting(args.output, common);
  const BpeTokenizer made = train_bpe(text, args.vocabulary);
  write_file_atomic(args.output, made.text());
  print_result(common, {{"tokenizer", args.output},
                        {"vocabulary", made.size()},
                        {"text_bytes", text.size()},
                        {"text_tokens", made.encode(text, spec.text()).size()}});
  return ExitCode::kOk;
}

ExitCode get(const Args& args, const Common& common) {
  const NamedSet& set = find_named_set(args.name);
  const std::string folder = args.output.empty() ? "data/" + set.name : args.output;
  print_result(common, {{"name", set.name}, {"spec", get_data(set, folder)}});
  return ExitCode::kOk;
}

void add_list(CLI::App& app, const std::shared_ptr<Action>& action) {
  CLI::App* verb = app.add_subcommand("list", "Kinds of data, their keys, and the sets get knows");
  verb->callback([action] { *action = list_kinds; });
  verb->footer(
      "Examples:\n"
      "  espalier data list\n"
      "  espalier data list --json | jq -r '.kinds[].usage'");
}

void add_make(CLI::App& app, const std::shared_ptr<Args>& args,
              const std::shared_ptr<Action>& action) {
  CLI::App* verb = app.add_subcommand("make", "Read, decode or generate data, and write it");
  verb->add_option("spec", args->spec, "kind:path?key=value&…")->required()->option_text("SPEC");
  verb->add_option("-o,--output", args->output,
                   "A folder, or one .npz with x (f32, normalised) and y")
      ->check(given("the name"));
  verb->add_option("--format", args->format, "Of a folder: idx (default) or images");
  verb->callback(
      [action, args] { *action = [args](const Common& common) { return make(*args, common); }; });
  verb->footer(
      "Examples:\n"
      "  espalier data make synthetic:glyphs -o glyphs             all splits, as IDX files\n"
      "  espalier data make images:photos.zip -o photos --format images\n"
      "  espalier data make 'synthetic:glyphs?split=test' -o glyphs.npz\n"
      "  espalier data make idx:data/mnist                         says what it holds\n"
      "It prints the spec that reads back what was written.");
}

void add_tokenizer(CLI::App& app, const std::shared_ptr<Args>& args,
                   const std::shared_ptr<Action>& action) {
  CLI::App* verb = app.add_subcommand("tokenizer", "Learn a byte-pair vocabulary from text");
  verb->add_option("spec", args->spec, "text:FILE?key=value&…; its training part is read")
      ->required()
      ->option_text("SPEC");
  verb->add_option("-o,--output", args->output, "The file, in the form of GPT-2's merges.txt")
      ->required()
      ->check(given("the name"));
  verb->add_option("--vocabulary", args->vocabulary, "Tokens, the 256 bytes among them (512)")
      ->transform(whole_number(257, 65536));
  verb->callback([action, args] {
    *action = [args](const Common& common) { return make_tokenizer(*args, common); };
  });
  verb->footer(
      "Examples:\n"
      "  espalier data tokenizer text:book.txt -o book.bpe\n"
      "  espalier data make 'text:book.txt?tokenizer=book.bpe&context=128'   how many windows\n"
      "The same text gives the same tokenizer.");
}

void add_get(CLI::App& app, const std::shared_ptr<Args>& args,
             const std::shared_ptr<Action>& action) {
  CLI::App* verb = app.add_subcommand("get", "Fetch a public data set and check it");
  verb->add_option("name", args->name, "One of those that list shows")->required();
  verb->add_option("-o,--output", args->output, "Folder (default data/NAME)")
      ->check(given("the name"));
  verb->callback(
      [action, args] { *action = [args](const Common& common) { return get(*args, common); }; });
  verb->footer(
      "Examples:\n"
      "  espalier data get fashion-mnist\n"
      "  espalier data get cifar10 -o /data/cifar10\n"
      "Fetched with curl; files whose checksum is not the publisher's are not kept.");
}

}  // namespace

Action data_verb(CLI::App& app) {
  auto args = std::make_shared<Args>();
  auto action = std::make_shared<Action>();
  app.require_subcommand(1);
  app.fallthrough();
  add_list(app, action);
  add_make(app, args, action);
  add_tokenizer(app, args, action);
  add_get(app, args, action);
  app.footer(
      "Examples:\n"
      "  espalier data list\n"
      "  espalier data get fashion-mnist\n"
      "  espalier data make synthetic:glyphs -o glyphs          as IDX files\n"
      "  espalier data make 'synthetic:glyphs?split=test' -o glyphs.npz\n"
      "  espalier data make idx:data/mnist                      reads it and says what it holds");
  return [action](const Common& common) { return (*action)(common); };
}

}  // namespace espalier::cli
