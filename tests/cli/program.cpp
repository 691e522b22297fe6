#include "tests/cli/program.h"
#include "tests/support/tree.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

extern char** environ;

namespace espalier::testing {
namespace {

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

pid_t start(const std::vector<std::string>& arguments, const std::string& out,
            const std::string& err) {
  const std::string program = testing::build_dir() + "/espalier";
  std::vector<char*> argv = {const_cast<char*>(program.c_str())};
  for (const auto& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), O_CREAT | O_WRONLY, 0600);
  posix_spawn_file_actions_addopen(&actions, 2, err.c_str(), O_CREAT | O_WRONLY, 0600);
  pid_t child = 0;
  const int failed = posix_spawn(&child, program.c_str(), &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed) throw std::runtime_error(program + " cannot be started; was it built?");
  return child;
}

int code_of(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

}  // namespace

Ran run_program(const std::vector<std::string>& arguments) {
  const Scratch scratch;
  const std::string out = scratch.path("out"), err = scratch.path("err");
  const pid_t child = start(arguments, out, err);
  int status = 0;
  waitpid(child, &status, 0);
  return {code_of(status), contents(out), contents(err)};
}

void expect_failure(const Ran& ran, int code, const std::string& message, const std::string& hint) {
  EXPECT_EQ(ran.code, code) << ran.err;
  EXPECT_EQ(ran.out, "");
  EXPECT_THAT(ran.err, ::testing::StartsWith("espalier: "));
  const size_t end = ran.err.find('\n');
  EXPECT_THAT(ran.err.substr(0, end), ::testing::HasSubstr(message));
  const std::string rest = end == std::string::npos ? "" : ran.err.substr(end + 1);
  if (rest.empty()) {
    EXPECT_EQ(hint, "") << ran.err;
    return;
  }
  EXPECT_THAT(rest, ::testing::StartsWith("  hint: "));
  EXPECT_EQ(std::count(rest.begin(), rest.end(), '\n'), 1) << ran.err;
  EXPECT_THAT(rest, ::testing::HasSubstr(hint));
}

Running::Running(const std::vector<std::string>& arguments, const std::string& out,
                 const std::string& err)
    : pid_(start(arguments, out, err)) {}

Running::~Running() {
  if (ended()) return;
  send(SIGKILL);
  wait();
}

void Running::send(int signal) const { ::kill(pid_, signal); }

bool Running::ended() {
  if (!ended_) ended_ = waitpid(pid_, &status_, WNOHANG) == pid_;
  return ended_;
}

int Running::wait() {
  if (!ended_) waitpid(pid_, &status_, 0);
  ended_ = true;
  return code_of(status_);
}

Scratch::Scratch() {
  std::string name = (std::filesystem::temp_directory_path() / "espalier_cli_XXXXXX").string();
  if (!mkdtemp(name.data())) throw std::runtime_error("no temporary folder");
  folder_ = name;
}

Scratch::~Scratch() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void Scratch::write(const std::string& name, const std::string& bytes) const {
  std::ofstream(path(name), std::ios::binary) << bytes;
}

}  // namespace espalier::testing
