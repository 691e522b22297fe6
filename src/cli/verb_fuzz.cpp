// espalier fuzz: random networks through the compiler, compared with the reference.
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <cctype>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/progress.h"
#include "cli/output.h"
#include "cli/values.h"
#include "cli/verb.h"
#include "fuzz/campaign.h"
#include "fuzz/peer.h"
#include "fuzz/reduce.h"
#include "passes/passes.h"
#include "train/stop.h"

namespace espalier::cli {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr int64_t kGraphs = 1000;

struct Args {
  std::vector<std::string> cases, passes;
  int64_t graphs = 0, nodes = 8;
  double minutes = 0;
  bool peer = false;
  std::string folder;
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// A name for the file of finding number `n`: "pass_fold_identity_1".
std::string file_name(const fuzz::Finding& f, size_t n) {
  std::string name;
  for (char ch : f.oracle) name += std::isalnum(static_cast<unsigned char>(ch)) ? ch : '_';
  return name + "_" + std::to_string(n) + ".esp";
}

// ---- cases from files ---------------------------------------------------------------------------

ExitCode check_files(const Args& args, const Common& common) {
  Json list = Json::array();
  Table table({"case", "result"});
  bool found = false;
  for (const std::string& file : args.cases) {
    fuzz::Case c = fuzz::case_from_text(read_file(file), file);
    if (!args.passes.empty()) c.passes = args.passes;
    const fuzz::Outcome o = fuzz::check(c, {}, {.onnx = true});
    found = found || o.finding;
    const std::string result = o.finding            ? o.finding->oracle + ": " + o.finding->found
                               : !o.skipped.empty() ? "no test: " + o.skipped
                                                    : "as the reference";
    list.push_back({{"case", file},
                    {"oracle", o.finding ? o.finding->oracle : ""},
                    {"found", o.finding ? o.finding->found : ""},
                    {"skipped", o.skipped}});
    table.row({file, printable(result)});
  }
  if (common.json)
    print_json({{"cases", std::move(list)}});
  else
    table.print();
  return found ? ExitCode::kCheckFailed : ExitCode::kOk;
}

// ---- a campaign ---------------------------------------------------------------------------------

/// Comparisons with ONNX Runtime, those it was asked for and can answer.
class Peers {
 public:
  Peers(bool wanted, const fs::path& folder) {
    if (!wanted) return;
    peer_.emplace(folder);
    if (peer_->missing().empty()) return;
    log_warning("ONNX Runtime is left out: " + peer_->missing());
    peer_.reset();
  }

  void compare(const fuzz::Case& c, int64_t at) {
    if (!peer_) return;
    std::string refused;
    const auto finding = peer_->compare(c, &refused);
    ++(refused.empty() ? compared_ : refused_);
    if (!finding || found_.size() >= kMost) return;
    const auto still = [&](const fuzz::Case& smaller) {
      return peer_->compare(smaller).has_value();
    };
    // Each question starts a process.
    fuzz::Case smallest = fuzz::reduced(c, still, 60).smallest;
    found_.push_back({*finding, c, std::move(smallest), at});
  }

  const std::vector<fuzz::Found>& found() const { return found_; }
  Json json() const {
    if (!peer_) return nullptr;
    return {{"version", peer_->version()}, {"compared", compared_}, {"refused", refused_}};
  }

 private:
  /// Networks that differ say much the same after that many.
  static constexpr size_t kMost = 20;
  std::optional<fuzz::Peer> peer_;
  int64_t compared_ = 0, refused_ = 0;
  std::vector<fuzz::Found> found_;
};

void require_empty(const std::string& folder, const Common& common) {
  std::error_code ignored;
  if (!common.overwrite && fs::exists(folder, ignored) && !fs::is_empty(folder, ignored))
    throw usage_error("--output " + folder, "holds files already",
                      "name a new folder, or allow it with --overwrite");
}

/// Empty for a failure that has no case.
std::string text_of(const fuzz::Found& f) {
  return f.at < 0 ? "" : fuzz::to_text(f.reduced, {f.finding.oracle, f.finding.found});
}

Json report(const fuzz::CampaignResult& r, const Peers& peers, double seconds,
            const std::vector<fuzz::Found>& found, const std::vector<std::string>& files) {
  Json findings = Json::array();
  for (size_t i = 0; i < found.size(); ++i)
    findings.push_back({{"oracle", found[i].finding.oracle},
                        {"found", found[i].finding.found},
                        {"graph", found[i].at},
                        {"file", i < files.size() ? files[i] : ""},
                        {"text", text_of(found[i])}});
  return {{"graphs", r.graphs},   {"skipped", r.skipped}, {"nodes", r.nodes},
          {"events", r.events},   {"pool", r.pool},       {"seconds", seconds},
          {"peer", peers.json()}, {"findings", findings}};
}

/// Failures met while growing are findings without a case.
void add_broken(const std::vector<std::string>& broken, std::vector<fuzz::Found>& found) {
  const std::set<std::string> different(broken.begin(), broken.end());
  for (const std::string& text : different)
    found.push_back({{"inference", "failed: " + text}, {}, {}, -1});
}

void print_people(const fuzz::CampaignResult& r, const std::vector<fuzz::Found>& found,
                  const std::vector<std::string>& files, double seconds) {
  std::printf("%s graphs of %s nodes in %s: %s events of the compiler, %zu findings\n",
              grouped(double(r.graphs)).c_str(), grouped(double(r.nodes)).c_str(),
              format_duration(seconds).c_str(), grouped(double(r.events)).c_str(), found.size());
  for (size_t i = 0; i < found.size(); ++i) {
    const fuzz::Found& f = found[i];
    std::printf("\n%s: %s\n", f.finding.oracle.c_str(), printable(f.finding.found).c_str());
    if (i < files.size() && !files[i].empty())
      std::printf("  %s\n", files[i].c_str());
    else
      std::fputs(text_of(f).c_str(), stdout);
  }
}

ExitCode run_fuzzer(const Args& args, const Common& common) {
  if (!args.cases.empty()) return check_files(args, common);
  if (!args.folder.empty()) {
    require_empty(args.folder, common);
    make_folder(args.folder);
  }
  const fs::path folder = args.folder;
  const fs::path scratch = args.folder.empty() ? fs::temp_directory_path() /
                                                     ("espalier-fuzz-" + std::to_string(getpid()))
                                               : folder / "peer";
  Peers peers(args.peer, scratch);
  catch_stop_signals();
  const auto start = std::chrono::steady_clock::now();
  const double limit = args.minutes * 60;
  const int64_t graphs = limit > 0 ? 0 : args.graphs > 0 ? args.graphs : kGraphs;
  fuzz::CampaignOptions options;
  options.seed = common.seed.value_or(0);
  options.graphs = graphs;
  options.grow.nodes = int(args.nodes);
  options.grow.insertions = 3 * int(args.nodes);
  options.passes = args.passes;
  options.stop = [&] { return stop_requested() || (limit > 0 && seconds_since(start) >= limit); };
  if (!args.folder.empty())
    options.before = [&](const fuzz::Case& c) {
      write_file_atomic(folder / "current.esp", fuzz::to_text(c), Sync::no);
    };
  fuzz::CampaignResult result;
  {
    Progress progress("fuzzing", graphs, "graphs");
    int64_t done = 0, shown = 0;
    options.after = [&](const fuzz::Case& c, const fuzz::Outcome& o) {
      if (!o.finding && o.skipped.empty()) peers.compare(c, done);
      ++done;
      shown += o.finding.has_value();
      progress.advance();
      std::string note = std::to_string(shown) + " cases show something";
      if (limit > 0) note = format_duration(limit - seconds_since(start)) + " left  " + note;
      progress.note(note);
    };
    fuzz::Library library;
    result = fuzz::run_campaign(library, options);
    result.growth.broken.insert(result.growth.broken.end(), library.broken().begin(),
                                library.broken().end());
  }
  std::error_code ignored;
  if (!args.folder.empty()) fs::remove(folder / "current.esp", ignored);
  if (args.peer) fs::remove_all(scratch, ignored);
  std::vector<fuzz::Found> found = std::move(result.found);
  found.insert(found.end(), peers.found().begin(), peers.found().end());
  std::vector<std::string> files;
  if (!args.folder.empty())
    for (size_t i = 0; i < found.size(); ++i) {
      const fs::path file = folder / file_name(found[i].finding, i + 1);
      write_file_atomic(file, text_of(found[i]));
      files.push_back(file.string());
    }
  add_broken(result.growth.broken, found);
  const double seconds = seconds_since(start);
  if (common.json)
    print_json(report(result, peers, seconds, found, files));
  else
    print_people(result, found, files, seconds);
  if (!found.empty()) return ExitCode::kCheckFailed;
  return stop_requested() ? kInterrupted : ExitCode::kOk;
}

}  // namespace

Action fuzz_verb(CLI::App& app) {
  auto args = std::make_shared<Args>();
  app.add_option("cases", args->cases, "Check these cases (.esp) again instead")
      ->option_text("FILE...");
  auto* graphs = app.add_option("--graphs", args->graphs, "Networks to check (default 1000)")
                     ->transform(whole_number(1));
  app.add_option("--minutes", args->minutes, "Go on for so long instead")
      ->check(finite_number(0.01, 100000))
      ->excludes(graphs);
  app.add_option("--nodes", args->nodes, "Operators in a network that is grown (default 8)")
      ->transform(whole_number(1, 64));
  app.add_option("--passes", args->passes,
                 "Run these passes, in this order, on every network (a,b,...; default: the "
                 "compiler's to begin with, then mutated)")
      ->delimiter(',')
      ->allow_extra_args(false);
  app.add_flag("--peer", args->peer, "Compare with ONNX Runtime too (needs node)");
  app.add_option("-o,--output", args->folder,
                 "A folder for what is found, one .esp for each, and the case being checked")
      ->check(given("the folder's name"));
  app.footer(
      "Networks are grown from the operators' own samples, and mutated together with the order of\n"
      "passes where they showed something new of the compiler. Each is read back from its text,\n"
      "sent through ONNX, through every pass and through compiled kernels, and must give what the\n"
      "reference gives, as far as roundings allow. What differs is made smaller and reported.\n"
      "Examples:\n"
      "  espalier fuzz                                     1000 networks\n"
      "  espalier fuzz --minutes 10 --seed 7 -o found      others, for ten minutes\n"
      "  espalier fuzz --passes fold_identity,fuse_pointwise\n"
      "  espalier fuzz --graphs 200 --peer                 beside ONNX Runtime\n"
      "  espalier fuzz found/kernels_1.esp                 one of its findings again\n"
      "The same seed checks the same networks. The exit code is 1 where something was found.");
  return [args](const Common& common) {
    for (const std::string& name : args->passes) pass_named(name);
    return run_fuzzer(*args, common);
  };
}

}  // namespace espalier::cli
