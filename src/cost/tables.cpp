#include "cost/tables.h"

#include <algorithm>
#include <cctype>
#include <cmath>

#include "base/files.h"
#include "cost/tables_json.h"

namespace espalier {

namespace fs = std::filesystem;

std::string MachineId::text() const {
  return cpu + ", " + isa + ", " + std::to_string(threads) +
         (threads == 1 ? " thread" : " threads");
}

std::string MachineId::file_stem() const {
  std::string stem;
  for (const char c : text()) {
    const auto u = static_cast<unsigned char>(c);
    if (std::isalnum(u))
      stem += char(std::tolower(u));
    else if (!stem.empty() && stem.back() != '-')
      stem += '-';
  }
  return stem;
}

fs::path tables_path(const MachineId& machine) {
  const fs::path folder = cache_folder("cost");
  return folder.empty() ? folder : folder / (machine.file_stem() + ".json");
}

fs::path model_path(const fs::path& tables) {
  fs::path path = tables;
  return path.replace_extension(".model.json");
}

void save_tables(const CostTables& tables, const fs::path& path) {
  if (path.has_parent_path()) make_folder(path.parent_path());
  write_file_atomic(path, tables_text(tables));
}

void refuse_foreign(const std::string& where, const MachineId& there, const MachineId& here) {
  if (there == here) return;
  const std::string again = "run espalier calibrate at --threads " + std::to_string(here.threads);
  if (there.cpu == here.cpu && there.isa == here.isa && there.threads == here.threads)
    throw bad_input(where,
                    "is stale: it was measured with " + there.engine + ", this is " + here.engine,
                    again + " --overwrite");
  throw bad_input(where, "was measured elsewhere: on " + there.text() + "; this is " + here.text(),
                  again);
}

CostTables load_tables(const fs::path& path, const MachineId& here) {
  std::error_code ignored;
  if (path.empty() || !fs::exists(path, ignored))
    throw bad_input(path.empty() ? "tables" : path.string(),
                    "there are no measurements of " + here.text(),
                    "run espalier calibrate at --threads " + std::to_string(here.threads));
  CostTables tables = parse_tables(read_file(path), path.string());
  refuse_foreign(path.string(), tables.machine, here);
  return tables;
}

std::string tables_text(const CostTables& t) {
  // One row a line, so that the file can be read and compared.
  Json head = {{"espalier_tables", kTablesVersion},
               {"machine", machine_json(t.machine)},
               {"seed", t.seed},
               {"peaks", t.peaks ? peaks_json(*t.peaks) : Json(nullptr)},
               {"done", t.done}};
  std::string text = dumped(head);
  text.pop_back();  // the closing brace
  text += ",\"rows\":[";
  for (size_t i = 0; i < t.rows.size(); ++i)
    text += (i ? ",\n" : "\n") + dumped(row_json(t.rows[i]));
  return text + "\n]}\n";
}

namespace {

CostTables read_tables(const Json& j) {
  CostTables t;
  t.machine = machine_from(j.at("machine"));
  t.seed = j.at("seed").get<uint64_t>();
  if (!j.at("peaks").is_null()) t.peaks = peaks_from(j.at("peaks"));
  t.done = j.at("done").get<std::set<std::string>>();
  for (const Json& row : j.at("rows")) t.rows.push_back(row_from(row));
  return t;
}

}  // namespace

CostTables parse_tables(std::string_view text, const std::string& where) {
  const Json j = parsed_file(text, where, "espalier_tables", kTablesVersion);
  try {
    return read_tables(j);
  } catch (const Json::exception& e) {
    throw bad_input(where, std::string("is damaged: ") + e.what(), kMeasureAgain);
  } catch (const UserError& e) {
    throw bad_input(where, std::string("is damaged: ") + e.what(), kMeasureAgain);
  }
}

}  // namespace espalier
