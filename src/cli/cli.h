// The command line: verbs, their options, exit codes. What is done stands in the folders below.
#pragma once

namespace espalier::cli {

/// Parses the arguments, runs the verb and returns the exit code. Failures are one line on standard
/// error, with a hint; results are on standard output.
int run(int argc, char** argv);

}  // namespace espalier::cli
