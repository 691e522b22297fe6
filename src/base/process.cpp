#include "base/process.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>

#include "base/error.h"

extern char** environ;

namespace espalier {
namespace {

/// "NAME=VALUE" for every variable.
std::vector<std::string> environment_with(const std::map<std::string, std::string>& changes) {
  std::vector<std::string> all;
  for (char** variable = environ; *variable; ++variable) {
    const std::string text = *variable;
    if (!changes.contains(text.substr(0, text.find('=')))) all.push_back(text);
  }
  for (const auto& [name, value] : changes)
    if (!value.empty()) all.push_back(name + "=" + value);
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (std::string& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

int exit_code(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/// waitpid, whatever interrupts it.
pid_t waited(pid_t child, int* status, int options) {
  pid_t found;
  do {
    found = ::waitpid(child, status, options);
  } while (found < 0 && errno == EINTR);
  return found;
}

}  // namespace

int run_again(const std::vector<std::string>& arguments,
              const std::map<std::string, std::string>& changes) {
  std::vector<std::string> words = {"espalier"}, variables = environment_with(changes);
  words.insert(words.end(), arguments.begin(), arguments.end());
  const std::vector<char*> argv = pointers(words), envp = pointers(variables);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t child = 0;
  const int failed =
      ::posix_spawn(&child, "/proc/self/exe", &actions, nullptr, argv.data(), envp.data());
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0)
    throw bad_input("espalier", std::string("cannot be run again: ") + std::strerror(failed));
  int status = 0;
  waited(child, &status, 0);
  return exit_code(status);
}

int run_command(const Command& c) {
  std::vector<std::string> words = c.words;
  const std::vector<char*> argv = pointers(words);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, c.log.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
  if (!c.folder.empty()) posix_spawn_file_actions_addchdir_np(&actions, c.folder.c_str());
  pid_t child = 0;
  const int failed = ::posix_spawnp(&child, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) return -1;
  int status = 0;
  if (!c.waiting) {
    waited(child, &status, 0);
    return exit_code(status);
  }
  try {
    while (waited(child, &status, WNOHANG) == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      c.waiting();
    }
  } catch (...) {
    ::kill(child, SIGKILL);
    waited(child, &status, 0);
    throw;
  }
  return exit_code(status);
}

namespace {

/// A line of /proc/self/status in bytes; 0 where there is none.
int64_t status_bytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(key)) return 1024 * std::atoll(line.c_str() + key.size());  // in kB
  return 0;
}

}  // namespace

int64_t peak_resident_bytes() { return status_bytes("VmHWM:"); }

ResidentGrowth::ResidentGrowth() {
#ifdef __GLIBC__
  ::malloc_trim(0);
#endif
  std::ofstream clear("/proc/self/clear_refs");  // 5: the peak becomes what is in use now
  clear << 5 << std::flush;
  const int64_t now = status_bytes("VmRSS:");
  if (clear && now > 0) before_ = now;
}

std::optional<int64_t> ResidentGrowth::bytes() const {
  if (!before_) return std::nullopt;
  return std::max<int64_t>(0, peak_resident_bytes() - *before_);
}

}  // namespace espalier
