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
