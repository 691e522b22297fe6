// Runs exported networks: compiles a C file with the system's compiler and feeds its functions.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "base/files.h"
#include "deploy/c_file.h"

namespace espalier::testing {

/// A main() that feeds every network of the file from in.bin and writes all results to out.bin.
/// What lies around results is checked to be left alone.
inline std::string harness_of(const CFile& file, const std::string& stem) {
  std::string text = "#include \"" + stem +
                     ".h\"\n#include <stdio.h>\n#include <string.h>\n"
                     "static int failed;\n";
  std::string calls;
  for (const CNetwork& n : file.networks()) {
    std::string body, arguments;
    for (const CArgument& a : n.inputs) {
      const std::string count = std::to_string(std::max<int64_t>(1, a.type.numel()));
      body += "  static " + c_type(a.type.dtype) + " in_" + a.identifier + "[" + count + "];\n";
      arguments += (arguments.empty() ? "in_" : ", in_") + a.identifier;
    }
    for (const CArgument& a : n.outputs) {
      const std::string count = std::to_string(a.type.numel() + 2);
      body += "  static " + c_type(a.type.dtype) + " out_" + a.identifier + "[" + count + "];\n";
      arguments += (arguments.empty() ? "out_" : ", out_") + a.identifier + " + 1";
    }
    for (const CArgument& a : n.inputs)
      body += "  if (fread(in_" + a.identifier + ", sizeof *in_" + a.identifier + ", " +
              std::to_string(a.type.numel()) + ", from) != " + std::to_string(a.type.numel()) +
              ") failed = 1;\n";
    for (const CArgument& a : n.outputs)
      body += "  memset(out_" + a.identifier + ", 77, sizeof out_" + a.identifier + ");\n";
    body += "  if (" + n.name + "(" + arguments + ")) failed = 1;\n";
    for (const CArgument& a : n.outputs) {
      const std::string o = "out_" + a.identifier, size = std::to_string(a.type.numel());
      body += "  if (memcmp(" + o + ", guard, sizeof *" + o + ") || memcmp(" + o + " + 1 + " +
              size + ", guard, sizeof *" + o + ")) failed = 1;\n  fwrite(" + o + " + 1, sizeof *" +
              o + ", " + size + ", to);\n";
    }
    text += "static void feed_" + n.name +
            "(FILE* from, FILE* to) {\n"
            "  unsigned char guard[8];\n  memset(guard, 77, sizeof guard);\n  (void)from;\n" +
            body + "}\n";
    calls += "  feed_" + n.name + "(from, to);\n  if (failed) {\n    printf(\"" + n.name +
             " failed\\n\");\n    return 3;\n  }\n";
  }
  return text +
         "int main(void) {\n  FILE* from = fopen(\"in.bin\", \"rb\");\n"
         "  FILE* to = fopen(\"out.bin\", \"wb\");\n" +
         (file.states().empty() ? "" : "  " + file.init_function() + "();\n") + calls +
         "  fclose(from);\n  return fclose(to);\n}\n";
}

inline int shell(const std::string& command) {
  const int status = std::system(command.c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/// Results of every network for its inputs; the compiler must have nothing to say.
inline std::vector<std::vector<Tensor>> run_in_c(const CFile& file, const std::string& stem,
                                                 const std::vector<std::vector<Tensor>>& feeds,
                                                 const std::string& flags = "-O1") {
  namespace fs = std::filesystem;
  const fs::path folder = fs::path(::testing::TempDir()) / ("espalier_c_" + stem);
  fs::create_directories(folder);
  write_file_atomic(folder / (stem + ".c"), file.source());
  write_file_atomic(folder / (stem + ".h"), file.header());
  write_file_atomic(folder / "main.c", harness_of(file, stem));
  std::string bytes;
  for (const auto& feed : feeds)
    for (const Tensor& t : feed) bytes.append(static_cast<const char*>(t.raw()), t.bytes());
  write_file_atomic(folder / "in.bin", bytes);
  const std::string in_folder = "cd '" + folder.string() + "' && ";
  const int compiled =
      shell(in_folder + "cc -std=c99 -Wall -Wextra -Werror -pedantic " + flags + " " + stem +
            ".c main.c -o run -lm 2>log || { head -40 log; exit 1; }");
  EXPECT_EQ(compiled, 0) << folder;
  std::vector<std::vector<Tensor>> results(file.networks().size());
  if (compiled != 0) return results;
  const int ran = shell(in_folder + "./run");
  EXPECT_EQ(ran, 0) << folder;
  if (ran != 0) return results;
  const std::string got = read_file(folder / "out.bin");
  size_t at = 0;
  for (size_t n = 0; n < results.size(); ++n)
    for (const CArgument& a : file.networks()[n].outputs) {
      Tensor t(a.type.dtype, a.type.shape());
      if (at + t.bytes() > got.size()) {
        ADD_FAILURE() << "too few results in " << folder;
        return results;
      }
      if (t.bytes() > 0) std::memcpy(t.mutable_raw(), got.data() + at, t.bytes());
      at += t.bytes();
      results[n].push_back(t);
    }
  fs::remove_all(folder);
  return results;
}

}  // namespace espalier::testing
