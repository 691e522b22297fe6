// Runs the built program as a user does.
#pragma once

#include <string>
#include <vector>

namespace espalier::testing {

struct Ran {
  int code = -1;
  std::string out, err;
};

/// The program with these arguments; standard output and error are captured.
Ran run_program(const std::vector<std::string>& arguments);

/// Expects a failure as users see it: that exit code, nothing on standard output, one line with
/// `message` in it and perhaps a hint, which holds `hint`.
void expect_failure(const Ran& ran, int code, const std::string& message,
                    const std::string& hint = "");

/// The program started and left running.
class Running {
 public:
  /// Its output goes to the files named, or nowhere.
  explicit Running(const std::vector<std::string>& arguments, const std::string& out = "/dev/null",
                   const std::string& err = "/dev/null");
  ~Running();  ///< kills it if it still runs
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  void send(int signal) const;
  bool ended();
  /// Waits for its end; its exit code, or 128 and the signal that killed it.
  int wait();

 private:
  int pid_ = 0, status_ = 0;
  bool ended_ = false;
};

/// A folder for one test, removed with it.
class Scratch {
 public:
  Scratch();
  ~Scratch();
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  void write(const std::string& name, const std::string& bytes) const;

 private:
  std::string folder_;
};

}  // namespace espalier::testing
