// The same cases in ONNX Runtime, where node and onnxruntime-node are installed.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "fuzz/check.h"

namespace espalier::fuzz {

/// ONNX Runtime in a process of its own for each case: some end it.
class Peer {
 public:
  /// Its files lie in `folder`.
  explicit Peer(std::filesystem::path folder);

  /// Why there is none: "node is not installed", …; empty where there is one.
  const std::string& missing() const { return missing_; }
  /// "1.20.1".
  const std::string& version() const { return version_; }

  /// What differs between ONNX Runtime's answer and the reference of this case. Nothing too where
  /// ONNX has no form of the graph or ONNX Runtime refuses it; `refused` says so.
  std::optional<Finding> compare(const Case& c, std::string* refused = nullptr) const;

 private:
  std::filesystem::path folder_;
  std::string missing_, version_;
};

}  // namespace espalier::fuzz
