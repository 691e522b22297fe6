// Zip archives through libzip: listing, reading by entry, writing whole archives in memory.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace espalier {

class ZipArchive {
 public:
  /// Opens the file at `path`. Throws UserError when it is not a zip archive.
  explicit ZipArchive(const std::filesystem::path& path);
  /// Reads from memory, which must outlive the archive; `where` names it in errors.
  ZipArchive(std::string_view bytes, const std::string& where);
  ~ZipArchive();
  ZipArchive(ZipArchive&&) noexcept;

  /// Entry names in archive order; names of folders end in '/'.
  const std::vector<std::string>& names() const;
  /// The bytes of an entry, its checksum verified. Throws UserError on damage, on encryption and
  /// beyond `limit` bytes. Not for several threads at once.
  std::string read(size_t entry, size_t limit = size_t{1} << 33) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

struct ZipEntry {
  std::string name;
  std::string bytes;
};

/// The bytes of an archive holding `entries`, dated 1980-01-01 so that equal entries give equal
/// archives. Entries are deflated unless `store`.
std::string write_zip(const std::vector<ZipEntry>& entries, bool store = false);

}  // namespace espalier
