#include "cli/cli.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <new>
#include <set>

#include "base/log.h"
#include "base/threads.h"
#include "cli/output.h"
#include "cli/values.h"
#include "cli/verb.h"
#include "ops/catalogue.h"

namespace espalier::cli {
namespace {

int fail(ExitCode code, const std::string& what, const std::string& hint = "") {
  std::fprintf(stderr, "espalier: %s\n", printable(what).c_str());
  if (!hint.empty()) std::fprintf(stderr, "  hint: %s\n", printable(hint).c_str());
  return int(code);
}

void add_common(CLI::App& app, Common& common) {
  app.add_flag("--json", common.json, "One JSON object on standard output")->group("Common");
  app.add_option("--threads", common.threads, "Threads to use (default: one per CPU)")
      ->transform(whole_number(1, 4096))
      ->group("Common");
  app.add_option("--seed", common.seed, "Seed of everything random (default 0)")
      ->transform(whole_number(0))
      ->group("Common");
  app.add_flag("-q,--quiet", common.quiet, "No progress and no news")->group("Common");
  app.add_flag("--overwrite", common.overwrite, "Replace files that exist")->group("Common");
  for (CLI::App* verb : app.get_subcommands([](CLI::App*) { return true; })) {
    verb->group("Verbs");
    add_common(*verb, common);
  }
}

/// The names of an app's verbs: "list, make, get".
std::string verbs_of(const CLI::App& app) {
  std::string names;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; }))
    names += (names.empty() ? "" : ", ") + verb->get_name();
  return names;
}

/// What CLI11 says of arguments it cannot parse, in our words.
int fail_parsing(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* at = &app;
  std::string command = "espalier";
  while (!at->get_subcommands().empty()) {
    at = at->get_subcommands().front();
    command += " " + at->get_name();
  }
  const std::vector<std::string> unknown = app.remaining(/*recurse=*/true);
  if (at->get_require_subcommand_min() > 0 && dynamic_cast<const CLI::RequiredError*>(&error))
    return fail(ExitCode::kUsage,
                (at == &app ? "a verb is needed" : at->get_name() + " needs a verb") +
                    (unknown.empty() ? "" : ", '" + unknown[0] + "' is none") + ": " +
                    verbs_of(*at),
                command + " --help says what they do");
  return fail(ExitCode::kUsage, error.what(), command + " --help");
}

/// As a shell would read it back.
std::string command_line(int argc, char** argv) {
  std::string line = "espalier";
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const bool plain =
        !word.empty() && word.find_first_not_of(
                             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                             "-_=+.,:/%@") == std::string::npos;
    line += ' ';
    if (plain) {
      line += word;
      continue;
    }
    line += '\'';
    for (const char c : word) line += c == '\'' ? std::string("'\\''") : std::string(1, c);
    line += '\'';
  }
  return line;
}

ExitCode perform(const Action& action, const Common& common) {
  if (common.threads > 0) set_num_threads(common.threads);
  set_quiet(common.quiet || common.json);
  return action(common);
}

int perform_caught(const Action& action, const Common& common) {
  try {
    const ExitCode code = perform(action, common);
    std::cout.flush();
    if (std::fflush(stdout) != 0 || !std::cout)
      return fail(ExitCode::kBadInput, "standard output cannot be written");
    return int(code);
  } catch (const UserError& e) {
    return fail(e.code(), e.what(), e.hint());
  } catch (const std::bad_alloc&) {
    return fail(ExitCode::kBadInput, "there is not enough memory for this");
  } catch (const std::exception& e) {
    return fail(ExitCode::kInternal, std::string("internal error: ") + e.what(),
                "this is a defect of espalier; please report it with the command");
  }
}

}  // namespace

int run(int argc, char** argv) {
  ops::register_rooms();
  CLI::App app{"Espalier makes neural networks fit: smaller, faster, and proved on your machine.",
               "espalier"};
  app.set_version_flag("--version", "espalier " ESPALIER_VERSION);
  app.require_subcommand(1);
  app.get_formatter()->label("SUBCOMMAND", "VERB");
  app.footer(
      "Begin with\n"
      "  espalier inspect net.onnx             what is in it\n"
      "  espalier bench net.onnx               how fast it is here\n"
      "  espalier VERB --help                  options and examples of a verb\n"
      "Exit codes: 0 ok, 1 the asked check does not hold, 2 usage, 3 bad input, 4 unsupported,\n"
      "5 the budget cannot be met, 70 internal error.");
  Common common;
  common.command = command_line(argc, argv);
  Action chosen;
  std::set<std::string> verbs;
#define ESP_VERB(name, summary)                             \
  {                                                         \
    CLI::App* verb = app.add_subcommand(#name, summary);    \
    verb->group("Verbs");                                   \
    const Action action = name##_verb(*verb);               \
    verbs.insert(#name);                                    \
    add_common(*verb, common);                              \
    verb->callback([&chosen, action] { chosen = action; }); \
  }
#include "cli/verbs.inc"
#undef ESP_VERB
  if (argc > 1 && argv[1][0] != '-' && !verbs.contains(argv[1]))
    return fail(ExitCode::kUsage, std::string("there is no verb '") + argv[1] + "'",
                "espalier --help lists the verbs");
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& e) {
    return app.exit(e);  // --help, --version
  } catch (const CLI::ParseError& e) {
    return fail_parsing(app, e);
  } catch (const UserError& e) {
    return fail(e.code(), e.what(), e.hint());
  }
  return perform_caught(chosen, common);
}

}  // namespace espalier::cli
