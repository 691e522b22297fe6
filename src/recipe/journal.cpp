#include "recipe/journal.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"

namespace espalier {

Journal::Journal(std::filesystem::path folder, std::string fingerprint)
    : path_(std::move(folder) / "journal.json"), fingerprint_(std::move(fingerprint)) {
  if (!std::filesystem::exists(path_)) return;
  const auto j = nlohmann::json::parse(read_file(path_), nullptr, /*allow_exceptions=*/false);
  if (!j.is_object() || !j.contains("asked") || !j["asked"].is_string() || !j.contains("entries") ||
      !j["entries"].is_object())
    throw bad_input(path_.string(), "is damaged", "start anew with --overwrite");
  if (j["asked"].get<std::string>() != fingerprint_)
    throw bad_input(path_.string(), "belongs to a run with other settings",
                    "resume with the recipe and options it was started with, or use --overwrite");
  for (const auto& [key, value] : j["entries"].items()) {
    if (!value.is_string())
      throw bad_input(path_.string(), "is damaged", "start anew with --overwrite");
    entries_[key] = value.get<std::string>();
  }
}

std::string Journal::once(const std::string& key, const std::function<std::string()>& compute) {
  const auto it = entries_.find(key);
  if (it != entries_.end()) return it->second;
  std::string value = compute();
  entries_[key] = value;
  save();
  return value;
}

void Journal::save() const {
  const nlohmann::json j = {{"asked", fingerprint_}, {"entries", entries_}};
  write_file_atomic(path_, j.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

}  // namespace espalier
