// `espalier serve` started on a free port, for tests.
#pragma once

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/files.h"
#include "tests/cli/http_client.h"
#include "tests/cli/program.h"

namespace espalier::testing {

inline constexpr const char* kNetwork = R"(graph "small"(%x: f32[N,2]) -> (%y) {
  %w = parameter f32[2,2] [1, 2, 3, 4]
  %h: f32[N,2] = MatMul(%x, %w)
  %y: f32[N,2] = LeakyRelu(%h) {alpha = 0.5}
}
)";
inline constexpr const char* kGood =
    R"({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, -1]}]})";
inline constexpr const char* kInfer = "/v2/models/net/infer";

class Serve : public ::testing::Test {
 protected:
  Serve() { scratch.write("net.esp", kNetwork); }
  ~Serve() override { ::close(said); }

  /// Starts the program, on a free port unless one is given, and waits until it listens.
  void start(std::vector<std::string> arguments, int at_port = 0) {
    const std::string out = scratch.path("out" + std::to_string(starts++));
    ASSERT_EQ(mkfifo(out.c_str(), 0600), 0);
    // Before the program is there: it could not open a pipe that nobody reads.
    ::close(said);
    said = ::open(out.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    arguments.insert(arguments.begin(), "serve");
    arguments.insert(arguments.end(),
                     {"--port", std::to_string(at_port), "--json", "--threads", "1"});
    server = std::make_unique<Running>(arguments, out, scratch.path("err"));
    fcntl(said, F_SETFL, 0);  // from now on reading waits, until it says something or ends
    std::string line;
    for (char c = 0; c != '\n' && ::read(said, &c, 1) == 1;) line += c;
    ASSERT_THAT(line, ::testing::EndsWith("\n")) << read_file(scratch.path("err"));
    port = nlohmann::json::parse(line).at("port").get<int>();
  }
  void start_net(const std::string& keys = "") {
    start(std::vector<std::string>{scratch.path("net.esp") + keys});
  }

  static std::string error_of(const HttpAnswer& a) {
    EXPECT_EQ(a.headers.at("content-type"), "application/json");
    return nlohmann::json::parse(a.body).at("error").get<std::string>();
  }

  Scratch scratch;
  std::unique_ptr<Running> server;
  int said = -1;  ///< what it prints
  int port = 0, starts = 0;
};

}  // namespace espalier::testing
