#include "train/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace espalier {

RunLog::RunLog(std::filesystem::path path, int64_t keep) : path_(std::move(path)), bytes_(keep) {
  const auto fail = [&](const std::string& what) {
    if (fd_ >= 0) ::close(fd_);
    throw bad_input(path_.string(), what);
  };
  fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd_ < 0) fail(std::string("cannot be written: ") + std::strerror(errno));
  const off_t size = ::lseek(fd_, 0, SEEK_END);
  if (size < keep) fail("is shorter than when the checkpoint was written");
  if (::ftruncate(fd_, keep) != 0 || ::lseek(fd_, keep, SEEK_SET) != keep)
    fail(std::string("cannot be cut: ") + std::strerror(errno));
}

RunLog::~RunLog() {
  if (fd_ >= 0) ::close(fd_);
}

RunLog::RunLog(RunLog&& other) noexcept { *this = std::move(other); }

RunLog& RunLog::operator=(RunLog&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

void RunLog::line(const std::string& text) {
  if (fd_ < 0) return;
  const std::string bytes = text + "\n";
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::write(fd_, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0)
      throw bad_input(path_.string(), std::string("cannot be written: ") + std::strerror(errno),
                      "free some space and run again with --resume");
    done += size_t(n);
  }
  bytes_ += int64_t(bytes.size());
}

void RunLog::sync() {
  if (fd_ >= 0) ::fdatasync(fd_);
}

}  // namespace espalier
