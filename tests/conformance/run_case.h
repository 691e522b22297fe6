// Runs one of ONNX's test cases: a folder with model.onnx and test_data_set_*/{input,output}_N.pb.
#pragma once

#include <filesystem>
#include <string>

namespace espalier::testing {

struct Outcome {
  bool passed = false;
  bool broken = false;  ///< an invariant of ours failed, or a foreign exception came out
  std::string why;
};

Outcome run_case(const std::filesystem::path& folder);

}  // namespace espalier::testing
