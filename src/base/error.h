// The three kinds of failure.
//   UserError      reachable from input: a model, a recipe, an argument, a file.
//   InternalError  a broken invariant of ours; never reachable from input.
//   plain values   expected outcomes (a refused facet, an infeasible budget).
#pragma once

#include <stdexcept>
#include <string>

namespace espalier {

/// Process exit codes; the command line contract depends on the numbers.
enum class ExitCode : int {
  kOk = 0,
  kCheckFailed = 1,
  kUsage = 2,
  kBadInput = 3,
  kUnsupported = 4,
  kInfeasible = 5,
  kInternal = 70,
};

/// Something the user gave cannot be used. `where` names the file, node or option,
/// `what` says what is wrong there, `hint` what to do about it (may be empty).
class UserError : public std::runtime_error {
 public:
  UserError(ExitCode code, std::string where, std::string what, std::string hint = "");

  ExitCode code() const { return code_; }
  const std::string& where() const { return where_; }
  const std::string& problem() const { return what_; }
  const std::string& hint() const { return hint_; }

  /// The same error seen from further out: `outer: where`.
  UserError within(const std::string& outer) const;

 private:
  ExitCode code_;
  std::string where_, what_, hint_;
};

UserError bad_input(std::string where, std::string what, std::string hint = "");
UserError unsupported(std::string where, std::string what, std::string hint = "");
UserError usage_error(std::string where, std::string what, std::string hint = "");

/// A broken invariant. The message says which.
class InternalError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

[[noreturn]] void fail_check(const char* file, int line, const char* condition,
                             const std::string& message);

}  // namespace espalier

/// Throws InternalError unless `cond` holds. The message is mandatory and is built only on failure.
#define ESP_CHECK(cond, message)                                    \
  do {                                                              \
    if (!(cond)) [[unlikely]]                                       \
      ::espalier::fail_check(__FILE__, __LINE__, #cond, (message)); \
  } while (false)
