// State on disk: whole files in and out, and atomic replacement.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace espalier {

enum class Sync {
  yes,  ///< survives a power cut
  no,   ///< for what can be made again: a cache, one of many pictures
};

/// Writes to a temporary name beside `path`, syncs, renames: a reader or a crash sees the old
/// file or the new one, never part of one. Throws UserError(bad input) naming the path when it
/// cannot be written (missing folder, no permission, full disk); the old file then still stands.
void write_file_atomic(const std::filesystem::path& path, std::string_view bytes,
                       Sync sync = Sync::yes);

/// The same for bytes that lie in pieces, one after the other.
void write_file_atomic(const std::filesystem::path& path, std::span<const std::string_view> pieces,
                       Sync sync = Sync::yes);

/// The folder and those above it, where they are missing. Throws UserError naming the path.
void make_folder(const std::filesystem::path& path);

/// Where what can be made again is kept between runs, by kind: $ESPALIER_CACHE/KIND, else
/// $XDG_CACHE_HOME/espalier/KIND, else ~/.cache/espalier/KIND; empty when none of the variables is
/// set.
std::filesystem::path cache_folder(const std::string& kind);

/// The whole file. Throws UserError naming the path.
std::string read_file(const std::filesystem::path& path);

/// A read-only mapping of a whole file; pages are shared between processes.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  std::span<const std::byte> bytes() const { return {data_, size_}; }

  // Hints for who reads it once, from end to end; both take whole pages of [first, last) at most.
  /// These bytes come next.
  void fetch(size_t first, size_t last) const;
  /// These are no longer needed in memory; who asks for them again waits for the file.
  void let_go(size_t first, size_t last) const;

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace espalier
