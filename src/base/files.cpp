#include "base/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/error.h"

namespace espalier {
namespace {

struct Descriptor {
  int fd = -1;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

UserError os_error(const std::filesystem::path& path, const std::string& doing) {
  const int e = errno;
  return bad_input(
      path.string(), doing + ": " + std::strerror(e),
      e == ENOSPC ? "free some space and run the command again; a run goes on with --resume" : "");
}

}  // namespace

void write_file_atomic(const std::filesystem::path& path, std::string_view bytes, Sync sync) {
  write_file_atomic(path, std::span(&bytes, 1), sync);
}

void write_file_atomic(const std::filesystem::path& path, std::span<const std::string_view> pieces,
                       Sync sync) {
  const std::string temporary = path.string() + ".tmp" + std::to_string(::getpid());
  {
    Descriptor file{::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
    if (file.fd < 0) throw os_error(path, "cannot be written");
    for (std::string_view left : pieces)
      while (!left.empty()) {
        const ssize_t n = ::write(file.fd, left.data(), left.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
          const UserError error = os_error(path, "cannot be written");
          ::unlink(temporary.c_str());
          throw error;
        }
        left.remove_prefix(size_t(n));
      }
    if (sync == Sync::yes && ::fsync(file.fd) != 0) {
      const UserError error = os_error(path, "cannot be synced");
      ::unlink(temporary.c_str());
      throw error;
    }
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    const UserError error = os_error(path, "cannot be replaced");
    ::unlink(temporary.c_str());
    throw error;
  }
  if (sync == Sync::no) return;
  std::filesystem::path folder = path.parent_path();
  Descriptor directory{::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_CLOEXEC)};
  if (directory.fd >= 0) ::fsync(directory.fd);
}

void make_folder(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!error && !std::filesystem::is_directory(path, error))
    error = std::make_error_code(std::errc::not_a_directory);
  if (error) throw bad_input(path.string(), "cannot be made: " + error.message());
}

std::filesystem::path cache_folder(const std::string& kind) {
  const std::filesystem::path own = [] {
    if (const char* chosen = std::getenv("ESPALIER_CACHE"); chosen && *chosen)
      return std::filesystem::path(chosen);
    if (const char* xdg = std::getenv("XDG_CACHE_HOME"); xdg && *xdg)
      return std::filesystem::path(xdg) / "espalier";
    if (const char* home = std::getenv("HOME"); home && *home)
      return std::filesystem::path(home) / ".cache" / "espalier";
    return std::filesystem::path();
  }();
  return own.empty() ? own : own / kind;
}

std::string read_file(const std::filesystem::path& path) {
  Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) throw os_error(path, "cannot be read");
  struct stat info;
  if (::fstat(file.fd, &info) != 0) throw os_error(path, "cannot be read");
  if (S_ISDIR(info.st_mode)) throw bad_input(path.string(), "is a folder, not a file");
  std::string bytes;
  bytes.reserve(size_t(info.st_size));
  char buffer[1 << 16];
  for (;;) {
    const ssize_t n = ::read(file.fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw os_error(path, "cannot be read");
    if (n == 0) return bytes;
    bytes.append(buffer, size_t(n));
  }
}

MappedFile::MappedFile(const std::filesystem::path& path) {
  Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) throw os_error(path, "cannot be read");
  struct stat info;
  if (::fstat(file.fd, &info) != 0) throw os_error(path, "cannot be read");
  if (S_ISDIR(info.st_mode)) throw bad_input(path.string(), "is a folder, not a file");
  size_ = size_t(info.st_size);
  if (size_ == 0) return;
  void* p = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (p == MAP_FAILED) throw os_error(path, "cannot be mapped");
  data_ = static_cast<const std::byte*>(p);
}

namespace {

/// Advice on the whole pages of [first, last).
void advise(const std::byte* data, size_t first, size_t last, int advice) {
  const size_t page = size_t(::sysconf(_SC_PAGESIZE));
  first = (first + page - 1) / page * page;
  last = last / page * page;
  if (first < last) ::madvise(const_cast<std::byte*>(data) + first, last - first, advice);
}

}  // namespace

void MappedFile::fetch(size_t first, size_t last) const {
  advise(data_, first, last, MADV_POPULATE_READ);
}
void MappedFile::let_go(size_t first, size_t last) const {
  advise(data_, first, last, MADV_DONTNEED);
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

}  // namespace espalier
