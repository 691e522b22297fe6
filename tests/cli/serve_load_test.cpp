// `espalier serve` under load and under attack: killed, restarted, told to stop, sent garbage.
#include <signal.h>

#include <future>
#include <map>

#include "serve/load_client.h"
#include "tests/cli/serve_fixture.h"
#include "tests/serve/mutations.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
using testing::http_request;
using testing::HttpAnswer;
using testing::HttpClient;
using testing::kGood;
using testing::kInfer;
using testing::Serve;

constexpr int kClients = 4;

/// Clients that go on until somebody says that it is enough, for at most a minute.
serve::LoadOptions clients_of(int port, const std::string& answer, int64_t most_requests) {
  serve::LoadOptions load;
  load.port = uint16_t(port);
  load.path = kInfer;
  load.bodies = {kGood};
  load.expected = {answer};
  load.clients = kClients;
  load.most_requests = most_requests;
  load.longest = std::chrono::minutes(1);
  return load;
}

int64_t answered(int port) {
  const std::string text = HttpClient(port).ask("GET", "/metrics").body;
  const std::string line = "espalier_requests_total{model=\"net\",outcome=\"ok\"} ";
  return std::stoll(text.substr(text.find(line) + line.size()));
}

void wait_for_answers(int port, int64_t count) {
  while (answered(port) < count) {
  }
}

/// An accepted request ends with its whole, right answer or with a closed connection, never with
/// neither and never with another answer.
TEST_F(Serve, KilledUnderLoadAndRestartedLosesNothingSilently) {
  start_net();
  const std::string answer = HttpClient(port).ask("POST", kInfer, kGood).body;
  const serve::LoadOptions load = clients_of(port, answer, 20000);
  auto clients = std::async(std::launch::async, serve::ask_in_closed_loop, load);
  int64_t by_the_last = 0;
  for (int kill = 0; kill < 3; ++kill) {
    wait_for_answers(port, 100);
    server->send(SIGKILL);
    EXPECT_EQ(server->wait(), 128 + SIGKILL);
    start(std::vector<std::string>{scratch.path("net.esp")}, port);
  }
  const serve::LoadResult r = clients.get();
  by_the_last = answered(port);
  EXPECT_EQ(r.ok + r.wrong + r.shed + r.refused + r.closed + r.unconnected, load.most_requests);
  EXPECT_EQ(r.wrong, 0);
  EXPECT_EQ(r.refused, 0);
  EXPECT_LE(r.closed, load.most_requests / 100) << "those in flight when it was killed";
  EXPECT_GE(r.ok, 299 - r.closed + by_the_last);
  EXPECT_GT(by_the_last, 0) << "clients go on with the restarted server";
}

TEST_F(Serve, StoppedUnderLoadAnswersWhatItAccepted) {
  start_net();
  const std::string answer = HttpClient(port).ask("POST", kInfer, kGood).body;
  const serve::LoadOptions load = clients_of(port, answer, 3000);
  auto clients = std::async(std::launch::async, serve::ask_in_closed_loop, load);
  wait_for_answers(port, 200);
  server->send(SIGTERM);
  EXPECT_EQ(server->wait(), 0);
  const serve::LoadResult r = clients.get();
  EXPECT_EQ(r.ok + r.wrong + r.shed + r.refused + r.closed + r.unconnected, load.most_requests);
  EXPECT_EQ(r.wrong, 0);
  EXPECT_GE(r.ok, 199);
  // A connection without a request is closed; its client may just have begun another.
  EXPECT_LE(r.closed, kClients);
}

TEST_F(Serve, ThousandsOfMalformedRequestsLeaveItHealthy) {
  start({scratch.path("net.esp"), "--max-body", "1"});
  const std::string length = std::to_string(std::string(kGood).size());
  const std::vector<std::string> good = {
      http_request("POST", kInfer, kGood, "Timeout-Ms: 1000\r\n"),
      http_request("POST", kInfer, kGood,
                   "Inference-Header-Content-Length: " + length + "\r\nStage-Times: on\r\n"),
      "POST " + std::string(kInfer) + " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" +
          "10\r\n" + std::string(kGood).substr(0, 16) + "\r\n0\r\n\r\n",
      http_request("GET", "/v2/models/net", ""), http_request("GET", "/metrics", "")};
  std::map<int, int> statuses;
  for (uint64_t i = 0; i < 4000; ++i) {
    HttpClient client(port);
    client.send(serve::mutated(good[i % good.size()], 3, i));
    client.finish();
    ++statuses[client.read(/*head=*/true).status];
  }
  for (const auto& [status, count] : statuses) {
    EXPECT_TRUE(status == 0 || status == 200 || (status >= 400 && status < 500) || status == 501)
        << count << " were told " << status;
  }
  EXPECT_GT(statuses[400], 1000);
  EXPECT_EQ(statuses[500], 0);
  HttpClient after(port);
  EXPECT_EQ(after.ask("POST", kInfer, kGood).status, 200);
  EXPECT_EQ(after.ask("GET", "/v2/health/ready").status, 200);
  const std::string metrics = after.ask("GET", "/metrics").body;
  EXPECT_THAT(metrics, HasSubstr("espalier_requests_total{model=\"net\",outcome=\"failed\"} 0"));
  EXPECT_THAT(metrics, HasSubstr("espalier_queue_requests{model=\"net\"} 0"));
  server->send(SIGTERM);
  EXPECT_EQ(server->wait(), 0) << "and it stops as it should";
}

}  // namespace
}  // namespace espalier
