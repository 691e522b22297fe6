// `espalier serve` as its clients meet it: started on a free port, asked over sockets, ended by
// signals.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "tests/cli/serve_fixture.h"
#include "tests/support/tree.h"

namespace espalier {
namespace {

using nlohmann::json;
using testing::expect_failure;
using ::testing::HasSubstr;
using testing::http_request;
using testing::HttpAnswer;
using testing::HttpClient;
using testing::kGood;
using testing::kInfer;
using testing::kNetwork;
using testing::run_program;
using testing::Serve;

TEST_F(Serve, AnswersOverOneConnection) {
  start({scratch.path("net.esp"), "again=" + scratch.path("net.esp") + "?max_batch=2"});
  HttpClient client(port);
  EXPECT_EQ(json::parse(client.ask("GET", "/v2/models").body)["models"], json({"again", "net"}));
  for (const char* model : {"net", "again"}) {
    const HttpAnswer a = client.ask("POST", "/v2/models/" + std::string(model) + "/infer", kGood);
    ASSERT_EQ(a.status, 200) << a.body;
    EXPECT_EQ(json::parse(a.body)["outputs"][0]["data"], json({-1.0, -1.0}));
    EXPECT_EQ(json::parse(a.body)["model_name"], model);
  }
  EXPECT_EQ(client.ask("GET", "/v2/health/ready").status, 200);
  const HttpAnswer metrics = client.ask("GET", "/metrics");
  EXPECT_THAT(metrics.headers.at("content-type"), HasSubstr("text/plain; version=0.0.4"));
  EXPECT_THAT(metrics.body, HasSubstr("espalier_requests_total{model=\"net\",outcome=\"ok\"} 1"));
  EXPECT_THAT(metrics.body, HasSubstr("espalier_http_connections 1"));
  const HttpAnswer head = client.ask("HEAD", "/v2");
  EXPECT_EQ(head.status, 200);
  EXPECT_NE(head.headers.at("content-length"), "0");
}

TEST_F(Serve, WeightsOfAFileTakeThePlaceOfItsOwn) {
  scratch.write("other.esp", std::string(kNetwork).replace(
                                 std::string(kNetwork).find("[1, 2, 3, 4]"), 12, "[3, 2, 1, 0]"));
  const std::string weights = scratch.path("other.safetensors");
  ASSERT_EQ(run_program({"export", scratch.path("other.esp"), "-o", weights}).code, 0);
  start_net("?weights=" + weights);
  const HttpAnswer a = HttpClient(port).ask("POST", kInfer, kGood);
  ASSERT_EQ(a.status, 200) << a.body;
  EXPECT_EQ(json::parse(a.body)["outputs"][0]["data"], json({2.0, 2.0}));
}

TEST_F(Serve, TakesAndGivesBinary) {
  start_net();
  HttpClient client(port);
  const std::string text = R"({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2],)"
                           R"( "parameters": {"binary_data_size": 8}}],)"
                           R"( "outputs": [{"name": "y", "parameters": {"binary_data": true}}]})";
  const float x[2] = {1, -1};
  const std::string body = text + std::string(reinterpret_cast<const char*>(x), sizeof x);
  const HttpAnswer a =
      client.ask("POST", kInfer, body,
                 "Inference-Header-Content-Length: " + std::to_string(text.size()) + "\r\n");
  ASSERT_EQ(a.status, 200) << a.body;
  const size_t length = std::stoul(a.headers.at("inference-header-content-length"));
  ASSERT_EQ(a.body.size(), length + 8);
  float y[2];
  std::memcpy(y, a.body.data() + length, sizeof y);
  EXPECT_EQ(y[0], -1);
  EXPECT_EQ(y[1], -1);
}

TEST_F(Serve, WrongRequestsAreToldAndTheConnectionGoesOn) {
  start({scratch.path("net.esp"), "--max-body", "1"});
  HttpClient client(port);
  EXPECT_EQ(client.ask("GET", "/nowhere").status, 404);
  const HttpAnswer wrong = client.ask("GET", kInfer);
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.headers.at("allow"), "POST");
  for (int i = 0; i < 300; ++i) {
    const HttpAnswer a = client.ask("POST", kInfer, "{\"inputs\": [" + std::string(i, 'x'));
    ASSERT_EQ(a.status, 400);
    ASSERT_THAT(error_of(a), HasSubstr("body: is no JSON at byte"));
  }
  EXPECT_EQ(client.ask("POST", kInfer, kGood).status, 200);
}

TEST_F(Serve, WhatIsNoHttpIsToldAndTheConnectionEnds) {
  start({scratch.path("net.esp"), "--max-body", "1", "--max-header", "2"});
  const auto told = [&](const std::string& bytes) {
    HttpClient client(port);
    client.send(bytes);
    const HttpAnswer a = client.read();
    if (a.status == 0) return std::string("closed");
    EXPECT_EQ(a.headers.at("connection"), "close");
    EXPECT_TRUE(client.closed());
    return std::to_string(a.status) + " " + error_of(a);
  };
  const std::string post = "POST " + std::string(kInfer) + " HTTP/1.1\r\nHost: a\r\n";
  EXPECT_THAT(told("GARBAGE\r\n\r\n"), HasSubstr("400 this is no HTTP request"));
  EXPECT_THAT(told("GET / HTTP/9.9\r\n\r\n"), HasSubstr("400 this is no HTTP request"));
  EXPECT_THAT(told("GET / HTTP/1.1\r\n\r\n"), HasSubstr("400 Host"));
  EXPECT_THAT(told(post + "Content-Length: abc\r\n\r\n"), HasSubstr("400 this is no HTTP"));
  EXPECT_THAT(told(post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"),
              HasSubstr("400 this is no HTTP"));
  EXPECT_THAT(told(post + "Transfer-Encoding: gzip\r\n\r\n"), HasSubstr("501 Transfer-Encoding"));
  EXPECT_THAT(told(post + "Transfer-Encoding: chunked\r\n\r\nzz\r\n"), HasSubstr("400 "));
  EXPECT_THAT(told(post + "Content-Length: 2000000\r\n\r\n"),
              HasSubstr("413 the body is longer than 1048576 bytes"));
  EXPECT_THAT(
      told(post + "Transfer-Encoding: chunked\r\n\r\n200000\r\n" + std::string(2 << 20, 'x')),
      HasSubstr("413 "));
  EXPECT_THAT(told(post + "A: " + std::string(4000, 'a') + "\r\n\r\n"),
              HasSubstr("431 the header is longer than 2048 bytes"));
  std::string many = post;
  for (int i = 0; i < 500; ++i) many += "a" + std::to_string(i) + ": b\r\n";
  EXPECT_THAT(told(many + "\r\n"), HasSubstr("431 "));
  EXPECT_THAT(told(post + "Expect: miracles\r\nContent-Length: 1\r\n\r\n"), HasSubstr("417 "));
  EXPECT_EQ(HttpClient(port).ask("POST", kInfer, kGood).status, 200);
}

TEST_F(Serve, BodiesInChunksAndAfterContinue) {
  start_net();
  HttpClient client(port);
  const std::string good = kGood;
  const std::string post = "POST " + std::string(kInfer) + " HTTP/1.1\r\nHost: a\r\n";
  std::string chunks;
  for (size_t at = 0; at < good.size(); at += 16) {
    const std::string part = good.substr(at, 16);
    char size[16];
    std::snprintf(size, sizeof size, "%zx\r\n", part.size());
    chunks += size + part + "\r\n";
  }
  client.send(post + "Transfer-Encoding: chunked\r\n\r\n" + chunks + "0\r\n\r\n");
  EXPECT_EQ(client.read().status, 200);
  client.send(post + "Expect: 100-continue\r\nContent-Length: " + std::to_string(good.size()) +
              "\r\n\r\n");
  EXPECT_EQ(client.read().status, 100);
  client.send(good);
  EXPECT_EQ(client.read().status, 200);
  // Two requests at once are answered one after the other.
  client.send(http_request("POST", kInfer, good) + http_request("GET", "/v2/health/live", ""));
  EXPECT_THAT(client.read().body, HasSubstr("model_name"));
  EXPECT_THAT(client.read().body, HasSubstr("live"));
  client.send("GET /v2 HTTP/1.0\r\n\r\n");
  EXPECT_EQ(client.read().status, 200);
  EXPECT_TRUE(client.closed());
}

TEST_F(Serve, ShedsAndDrains) {
  // Nothing runs before a batch of eight is full or somebody hurries it.
  start_net("?max_delay=900000&queue=1&timeout=0");
  HttpClient first(port), idle(port);
  EXPECT_EQ(idle.ask("GET", "/v2").status, 200);
  first.send(http_request("POST", kInfer, kGood));
  // Whether it is there shows in the metrics.
  while (idle.ask("GET", "/metrics").body.find("espalier_queue_requests{model=\"net\"} 1") ==
         std::string::npos) {
  }
  const HttpAnswer second = idle.ask("POST", kInfer, kGood);
  EXPECT_EQ(second.status, 503);
  EXPECT_GE(std::stoi(second.headers.at("retry-after")), 1);
  EXPECT_THAT(error_of(second), HasSubstr("not now: 1 requests are waiting"));
  server->send(SIGTERM);
  const HttpAnswer answer = first.read();
  EXPECT_EQ(answer.status, 200) << "accepted work is finished";
  EXPECT_EQ(answer.headers.at("connection"), "close");
  EXPECT_TRUE(idle.closed());
  EXPECT_EQ(server->wait(), 0);
}

TEST_F(Serve, ASecondSignalStopsAtOnce) {
  start_net();
  HttpClient slow(port);
  slow.send("POST " + std::string(kInfer) + " HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n{");
  // It is being received once another request was answered.
  EXPECT_EQ(HttpClient(port).ask("GET", "/v2").status, 200);
  server->send(SIGINT);
  // Nobody is let in any more, while the request that began may still end.
  while (true) {
    try {
      HttpClient late(port);
      if (late.ask("GET", "/v2").status == 0) break;
    } catch (const std::runtime_error&) {
      break;
    }
  }
  EXPECT_FALSE(server->ended());
  server->send(SIGTERM);
  EXPECT_EQ(server->wait(), 128 + SIGTERM);
  EXPECT_EQ(slow.read().status, 0);
}

TEST_F(Serve, KilledServersAnswerNothingRatherThanSomething) {
  start_net("?max_delay=900000");
  HttpClient client(port), other(port);
  client.send(http_request("POST", kInfer, kGood));
  while (other.ask("GET", "/metrics").body.find("espalier_queue_requests{model=\"net\"} 1") ==
         std::string::npos) {
  }
  server->send(SIGKILL);
  server->wait();
  EXPECT_EQ(client.read().status, 0);
}

TEST_F(Serve, DeadlinesEndIn504) {
  start_net("?max_delay=900000");
  HttpClient client(port);
  EXPECT_EQ(client.ask("POST", kInfer, kGood, "Timeout-Ms: 20\r\n").status, 504);
}

TEST_F(Serve, WrongArgumentsAreSaid) {
  const std::string net = scratch.path("net.esp");
  const auto serve = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "serve");
    return run_program(arguments);
  };
  expect_failure(serve({}), 2, "models is required");
  expect_failure(serve({net, net}), 2, "model 'net': is named twice", "NAME=FILE");
  expect_failure(serve({net + "?speed=9"}), 2, "has no key 'speed'", "keys are max_batch");
  expect_failure(serve({net + "?max_batch=2&max_batch=3"}), 2, "gives 'max_batch' twice");
  expect_failure(serve({net + "?max_batch=0"}), 2, "max_batch=0: is not a whole number between 1");
  expect_failure(serve({net + "?normalize=unit"}), 2, "without image=INPUT");
  expect_failure(serve({net + "?image=x"}), 2, "no batch of pictures");
  expect_failure(serve({net + "?shape.z=1,2"}), 2, "no input named 'z'");
  expect_failure(serve({net + "?weights=" + scratch.path("none.safetensors")}), 3, "none.safet");
  expect_failure(serve({net + "?shape.x=1,-2"}), 2, "shape.x=1,-2: '-2' is no extent", "1,3,224");
  expect_failure(serve({net + "?shape.x=1,3"}), 2, "which cannot be [1,3]");
  scratch.write("list.esp",
                "graph \"list\"(%x: seq(f32[2])) -> (%y) {\n"
                "  %y: seq(f32[2]) = Identity(%x)\n}\n");
  expect_failure(serve({scratch.path("list.esp") + "?shape.x=2"}), 2, "which cannot be [2]");
  expect_failure(serve({scratch.path("list.esp")}), 4, "only tensors can be served");
  scratch.write("sized.esp",
                "graph \"sized\"(%x: f32[4]) -> (%y) {\n  %y: i64[1,K] = NonZero(%x)\n}\n");
  expect_failure(serve({scratch.path("sized.esp")}), 4, "depends on data", "run, check");
  expect_failure(serve({"a b=" + net}), 2, "is no name for a model");
  expect_failure(serve({net + ".txt"}), 2, "names no network format");
  expect_failure(serve({scratch.path("none.esp")}), 3, "none.esp");
  expect_failure(serve({net, "--port", "70000"}), 2, "--port");
  expect_failure(serve({net, "--host", "no.such.host.invalid"}), 3, "no address of this machine");
  start_net();
  expect_failure(serve({net, "--port", std::to_string(port)}), 3, "cannot be listened at",
                 "--port 0");
}

// ---- docs/serving.md ---------------------------------------------------------------------------

struct Block {
  std::string language, text;
};

/// The fenced blocks of a page, in order.
std::vector<Block> blocks_of(const std::string& page) {
  std::vector<Block> blocks;
  for (size_t at = 0; (at = page.find("\n```", at)) != std::string::npos;) {
    const size_t line = page.find('\n', at + 4), end = page.find("\n```", line - 1);
    blocks.push_back({page.substr(at + 4, line - at - 4), page.substr(line + 1, end - line)});
    at = end + 4;
  }
  return blocks;
}

/// What a command prints; its failure is the test's.
std::string printed(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "r");
  std::string text;
  for (int c; (c = fgetc(pipe)) != EOF;) text += char(c);
  EXPECT_EQ(pclose(pipe), 0) << command;
  return text;
}

TEST_F(Serve, ExamplesOfThePageWork) {
  const auto blocks = blocks_of(read_file(testing::source_dir() + "/docs/serving.md"));
  ASSERT_GE(blocks.size(), 10u);
  ASSERT_THAT(blocks[0].text, ::testing::StartsWith("# small.esp\n"));
  scratch.write("small.esp", blocks[0].text.substr(blocks[0].text.find('\n') + 1));
  start(std::vector<std::string>{scratch.path("small.esp")});
  const auto here = [&](std::string text) {
    const std::string there = "localhost:8000";
    for (size_t at; (at = text.find(there)) != std::string::npos;)
      text.replace(at, there.size(), "127.0.0.1:" + std::to_string(port));
    return text;
  };
  int commands = 0, compared = 0;
  for (size_t i = 0; i < blocks.size(); ++i) {
    if (blocks[i].language != "sh" || blocks[i].text.find("curl") == std::string::npos) continue;
    const std::string said = printed(here(blocks[i].text));
    EXPECT_NE(said, "");
    ++commands;
    if (i + 1 == blocks.size() || blocks[i + 1].language != "json") continue;
    EXPECT_EQ(json::parse(said), json::parse(blocks[i + 1].text)) << blocks[i].text;
    ++compared;
  }
  EXPECT_EQ(commands, 7);
  EXPECT_EQ(compared, 4);
}

bool has_python() { return std::system("python3 --version >/dev/null 2>&1") == 0; }

TEST_F(Serve, PythonOfThePageWorks) {
  if (!has_python()) GTEST_SKIP() << "no python3";
  const auto blocks = blocks_of(read_file(testing::source_dir() + "/docs/serving.md"));
  const auto python = std::ranges::find(blocks, "python", &Block::language);
  ASSERT_NE(python, blocks.end());
  start(std::vector<std::string>{"small=" + scratch.path("net.esp")});
  std::string text = python->text;
  const std::string there = "localhost:8000";
  text.replace(text.find(there), there.size(), "127.0.0.1:" + std::to_string(port));
  scratch.write("ask.py", text);
  EXPECT_EQ(printed("python3 " + scratch.path("ask.py")), "(-1.0, -1.0)\n");
}

TEST_F(Serve, LoadGeneratorCountsWhatItAsked) {
  if (!has_python()) GTEST_SKIP() << "no python3";
  start_net();
  const std::string load = testing::source_dir() +
                           "/bench/load http://127.0.0.1:" + std::to_string(port) +
                           " net --seconds 0.5 --warmup 0 --json - 2>&1 ";
  for (const char* how : {"--rate 100", "--closed 2"}) {
    const std::string said = printed("python3 " + load + how + " | tail -1");
    const json result = json::parse(said);
    EXPECT_GT(result["asked"], 0) << said;
    EXPECT_EQ(result["accepted"], result["asked"]) << said;
    EXPECT_GT(result["p99_ms"], 0) << said;
  }
  const HttpAnswer refused = HttpClient(port).ask("GET", "/metrics");
  EXPECT_EQ(refused.body.find("outcome=\"ok\"} 0\n"), std::string::npos);
}

}  // namespace
}  // namespace espalier
