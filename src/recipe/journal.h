// What a run has decided and measured so far, kept so that a resumed run ends the same: a stage
// asks for its entry and computes it only if it is not there yet.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>

namespace espalier {

class Journal {
 public:
  /// Opens FOLDER/journal.json. `fingerprint` says what the run was asked to do: UserError when the
  /// file was written for something else or is damaged.
  Journal(std::filesystem::path folder, std::string fingerprint);

  /// The text kept under `key`, or what `compute` gives, which is then kept (on disk before this
  /// returns).
  std::string once(const std::string& key, const std::function<std::string()>& compute);
  bool has(const std::string& key) const { return entries_.contains(key); }

 private:
  void save() const;
  std::filesystem::path path_;
  std::string fingerprint_;
  std::map<std::string, std::string> entries_;
};

}  // namespace espalier
