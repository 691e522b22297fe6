#include "runtime/tuned_kernels.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/threads.h"
#include "runtime/machine.h"

namespace espalier {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using kernels::GemmTile;

namespace {

constexpr const char* kTuneAgain = "run espalier bench --tune again";

Json tile_json(const GemmTile& t) {
  return {{"rows", t.rows},
          {"vectors", t.vectors},
          {"unroll", t.unroll},
          {"prefetch", t.prefetch},
          {"k_block", t.k_block},
          {"row_block", t.row_block},
          {"column_block", t.column_block},
          {"rows_outer", t.rows_outer},
          {"pack_a", t.pack_a},
          {"split_rows", t.split_rows}};
}

GemmTile tile_from(const Json& j) {
  GemmTile t;
  j.at("rows").get_to(t.rows);
  j.at("vectors").get_to(t.vectors);
  j.at("unroll").get_to(t.unroll);
  j.at("prefetch").get_to(t.prefetch);
  j.at("k_block").get_to(t.k_block);
  j.at("row_block").get_to(t.row_block);
  j.at("column_block").get_to(t.column_block);
  j.at("rows_outer").get_to(t.rows_outer);
  j.at("pack_a").get_to(t.pack_a);
  j.at("split_rows").get_to(t.split_rows);
  if (!kernels::legal(t)) throw bad_input("tile", "no kernel is generated for it");
  return t;
}

Json product_json(const TunedProduct& p) {
  return {{"problem", p.problem},           {"tile", p.tile ? tile_json(*p.tile) : Json(nullptr)},
          {"generated_ms", p.generated_ms}, {"other_ms", p.other_ms},
          {"measured", p.measured},         {"seconds", p.seconds}};
}

TunedProduct product_from(const Json& j) {
  TunedProduct p;
  j.at("problem").get_to(p.problem);
  if (!j.at("tile").is_null()) p.tile = tile_from(j.at("tile"));
  j.at("generated_ms").get_to(p.generated_ms);
  j.at("other_ms").get_to(p.other_ms);
  j.at("measured").get_to(p.measured);
  j.at("seconds").get_to(p.seconds);
  return p;
}

TunedKernels read_tuned(const Json& j) {
  const Json& m = j.at("machine");
  TunedKernels kernels({m.at("cpu").get<std::string>(), m.at("isa").get<std::string>(),
                        m.at("engine").get<std::string>(), m.at("threads").get<int>()});
  for (const Json& product : j.at("products")) kernels.set(product_from(product));
  return kernels;
}

}  // namespace

const TunedProduct* TunedKernels::find(const std::string& problem) const {
  const auto found = products_.find(problem);
  return found == products_.end() ? nullptr : &found->second;
}

void TunedKernels::set(TunedProduct product) {
  const std::string problem = product.problem;
  products_.insert_or_assign(problem, std::move(product));
}

std::optional<GemmTile> TunedKernels::tile_for(const kernels::GemmProblem& problem) const {
  const TunedProduct* product = find(problem.text());
  return product ? product->tile : std::nullopt;
}

std::string tuned_text(const TunedKernels& kernels) {
  const auto dumped = [](const Json& j) {
    return j.dump(-1, ' ', false, Json::error_handler_t::replace);
  };
  const MachineId& m = kernels.machine();
  // One product a line, so that the file can be read and compared.
  std::string text =
      dumped({{"espalier_tuned", kTunedVersion},
              {"machine",
               {{"cpu", m.cpu}, {"isa", m.isa}, {"engine", m.engine}, {"threads", m.threads}}}});
  text.pop_back();  // the closing brace
  text += ",\"products\":[";
  const char* separator = "\n";
  for (const auto& [problem, product] : kernels.products()) {
    text += separator + dumped(product_json(product));
    separator = ",\n";
  }
  return text + "\n]}\n";
}

TunedKernels parse_tuned(std::string_view text, const std::string& where) {
  const Json j = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!j.is_object() || !j.contains("espalier_tuned") || !j["espalier_tuned"].is_number_integer())
    throw bad_input(where, "is damaged, or something else", kTuneAgain);
  if (j["espalier_tuned"] != kTunedVersion)
    throw bad_input(where,
                    "is stale: it has version " + j["espalier_tuned"].dump() +
                        ", this program knows version " + std::to_string(kTunedVersion),
                    kTuneAgain);
  try {
    return read_tuned(j);
  } catch (const Json::exception& e) {
    throw bad_input(where, std::string("is damaged: ") + e.what(), kTuneAgain);
  } catch (const UserError& e) {
    throw bad_input(where, std::string("is damaged: ") + e.what(), kTuneAgain);
  }
}

fs::path tuned_path(const MachineId& machine) {
  const fs::path folder = cache_folder("tuned");
  return folder.empty() ? folder : folder / (machine.file_stem() + ".json");
}

void save_tuned(const TunedKernels& kernels, const fs::path& path) {
  if (path.has_parent_path()) make_folder(path.parent_path());
  write_file_atomic(path, tuned_text(kernels));
}

TunedKernels load_tuned(const fs::path& path, const MachineId& here) {
  std::error_code ignored;
  if (path.empty() || !fs::exists(path, ignored)) return TunedKernels(here);
  try {
    TunedKernels kernels = parse_tuned(read_file(path), path.string());
    if (kernels.machine() == here) return kernels;
    log_warning(path.string() + " was tuned on " + kernels.machine().text() + " with " +
                kernels.machine().engine + "; it is left out");
  } catch (const UserError& e) {
    log_warning(std::string(e.what()) + "; it is left out");
  }
  return TunedKernels(here);
}

TunedKernels combined(TunedKernels own, const TunedKernels& other) {
  for (const auto& [problem, theirs] : other.products()) {
    const TunedProduct* ours = own.find(problem);
    if (ours && (!ours->tile || theirs.tile)) continue;
    TunedProduct p = ours ? *ours : theirs;
    if (!theirs.tile) p.tile.reset();
    own.set(std::move(p));
  }
  return own;
}

std::shared_ptr<const TunedKernels> machine_tuned_kernels(TunedKernels own) {
  const int threads = own.machine().threads;
  for (int other = 1; other <= available_cpus(); ++other) {
    if (other == threads) continue;
    const MachineId there = machine_id(other);
    own = combined(std::move(own), load_tuned(tuned_path(there), there));
  }
  if (own.products().empty()) return nullptr;
  return std::make_shared<const TunedKernels>(std::move(own));
}

std::shared_ptr<const TunedKernels> machine_tuned_kernels(int threads) {
  const MachineId here = machine_id(threads);
  return machine_tuned_kernels(load_tuned(tuned_path(here), here));
}

}  // namespace espalier
