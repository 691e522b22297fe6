// ONNX Runtime as a second opinion: what there is without it, and that it agrees where there is
// one.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "fuzz/peer.h"

namespace espalier::fuzz {
namespace {

class Peers : public ::testing::Test {
 protected:
  Peers()
      : folder_(std::filesystem::temp_directory_path() /
                ("espalier-peer-test-" + std::to_string(getpid()))) {}
  ~Peers() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path folder_;
};

TEST_F(Peers, SayWhatIsMissing) {
  const std::string path = std::getenv("PATH") ? std::getenv("PATH") : "";
  setenv("PATH", "/nonexistent", 1);
  const Peer peer(folder_);
  setenv("PATH", path.c_str(), 1);
  EXPECT_EQ(peer.missing(), "node is not installed");
  std::string refused;
  EXPECT_FALSE(peer.compare({}, &refused));
  EXPECT_EQ(refused, "node is not installed");
}

TEST_F(Peers, Agree) {
  const Peer peer(folder_);
  if (!peer.missing().empty()) GTEST_SKIP() << peer.missing();
  const Case c = case_from_text(R"(graph "chain"(%x: f32[2,3], %n: i64[2,3]) -> (%y, %m) {
  meta "fuzz.range.n" = "-9 9"
  %w = parameter f32[3,3] [0.5, -1.0, 0.25, 1.5, 0.75, -0.5, 2.0, 1.0, -1.25]
  %p: f32[2,3] = MatMul(%x, %w)
  %y: f32[2,3] = Tanh(%p)
  %m: i64[2,3] = Add(%n, %n)
}
)",
                                "chain");
  std::string refused;
  const auto finding = peer.compare(c, &refused);
  EXPECT_EQ(refused, "");
  EXPECT_FALSE(finding) << finding->found;
}

}  // namespace
}  // namespace espalier::fuzz
