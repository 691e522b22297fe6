// The whole server but its sockets: requests in, responses out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/serve/service_fixture.h"

namespace espalier::serve {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using ::testing::HasSubstr;

Request good_request() {
  Request r;
  r.method = "POST";
  r.path = "/v2/models/small/infer";
  r.body = kGood;
  return r;
}

TEST_F(ServiceTest, AnswersInferences) {
  add_small();
  const Response r = infer(kGood);
  EXPECT_EQ(r.status, 200) << r.body;
  EXPECT_EQ(r.type, "application/json");
  const json reply = json::parse(r.body);
  EXPECT_EQ(reply["model_name"], "small");
  EXPECT_EQ(reply["outputs"][0]["shape"], json({1, 2}));
  EXPECT_EQ(reply["outputs"][0]["data"], json({-1.0, -1.0}));
  EXPECT_EQ(ask("POST", "/v2/models/small/versions/1/infer", kGood).status, 200);
}

TEST_F(ServiceTest, AnswersInBinaryWhenAsked) {
  add_small();
  json body = json::parse(kGood);
  body["parameters"] = {{"binary_data_output", true}};
  const Response r = infer(body.dump());
  ASSERT_EQ(r.status, 200) << r.body;
  EXPECT_EQ(r.type, "application/octet-stream");
  ASSERT_EQ(r.headers.at(0).first, "Inference-Header-Content-Length");
  const size_t length = std::stoul(r.headers[0].second);
  ASSERT_EQ(r.body.size(), length + 8);
  float y[2];
  std::memcpy(y, r.body.data() + length, 8);
  EXPECT_EQ(y[0], -1);
  const float x[2] = {1, -1};
  const Response raw = infer(std::string(reinterpret_cast<const char*>(x), sizeof x),
                             {{"Inference-Header-Content-Length", "0"}});
  EXPECT_EQ(json::parse(raw.body)["outputs"][0]["data"], json({-1.0, -1.0})) << raw.body;
}

TEST_F(ServiceTest, SaysWhatItHas) {
  add_small();
  EXPECT_EQ(json::parse(ask("GET", "/v2").body)["name"], "espalier");
  EXPECT_EQ(ask("GET", "/v2/").status, 200);
  EXPECT_EQ(json::parse(ask("GET", "/v2/models").body)["models"], json({"small"}));
  const json meta = json::parse(ask("GET", "/v2/models/small").body);
  EXPECT_EQ(meta["inputs"][0]["shape"], json({-1, 2}));
  for (const char* path : {"/v2/health/live", "/v2/health/ready", "/v2/models/small/ready"})
    EXPECT_EQ(ask("GET", path).status, 200) << path;
  service.leave();
  EXPECT_EQ(infer(kGood).status, 200);
  EXPECT_EQ(ask("GET", "/v2/health/live").status, 200);
  EXPECT_EQ(ask("GET", "/v2/health/ready").status, 503);
  EXPECT_EQ(ask("GET", "/v2/models/small/ready").status, 503);
}

TEST_F(ServiceTest, WrongAddressesAndMethods) {
  add_small();
  for (const char* path : {"/", "/v1", "/v2/models/other", "/v2/models/small/explain",
                           "/v2/models/small/versions/2", "//v2", "/v2/health"})
    EXPECT_EQ(ask("GET", path).status, 404) << path;
  EXPECT_EQ(error_of(ask("POST", "/v2/models/other/infer", kGood)), "there is no model 'other'");
  const Response wrong = ask("GET", "/v2/models/small/infer");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.headers.at(0), std::pair(std::string("Allow"), std::string("POST")));
  EXPECT_EQ(ask("DELETE", "/v2/models/small").status, 405);
  EXPECT_EQ(ask("POST", "/metrics").status, 405);
}

TEST_F(ServiceTest, WrongRequestsNameTheField) {
  add_small();
  const auto told = [&](const std::string& body) {
    const Response r = infer(body);
    return std::to_string(r.status) + " " + error_of(r);
  };
  EXPECT_EQ(told("{"), "400 body: is no JSON at byte 2");
  EXPECT_EQ(told(R"({"inputs": [{"name": "z", "datatype": "FP32", "shape": [1], "data": [1]}]})"),
            "400 inputs[0].name: the network has no input 'z'");
  EXPECT_EQ(
      told(R"({"inputs": [{"name": "x", "datatype": "FP64", "shape": [1, 2], "data": [1, 2]}]})"),
      "400 inputs[0].datatype: is FP64; input 'x' takes FP32 [-1,2]");
  EXPECT_EQ(told(R"({"inputs": [{"name": "x", "datatype": "FP32", "shape": [9, 2],
                    "data": [1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9]}]})"),
            "400 input 'x': shape[0]: is 9, a request has at most 8 rows");
  json twice = json::parse(kGood);
  twice["inputs"].push_back(twice["inputs"][0]);
  EXPECT_EQ(told(twice.dump()), "400 inputs[1].name: gives 'x' again");
  json out = json::parse(kGood);
  out["outputs"] = {{{"name", "q"}}};
  EXPECT_EQ(told(out.dump()), "400 outputs[0].name: the network has no output 'q'");
  out["outputs"] = {{{"name", "y"}}, {{"name", "y"}}};
  EXPECT_EQ(told(out.dump()), "400 outputs[1].name: asks for 'y' again");
  EXPECT_EQ(
      told(R"({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1000, 2]}]})").substr(0, 3),
      "413");
  EXPECT_EQ(infer(kGood, {{"Content-Encoding", "gzip"}}).status, 415);
  EXPECT_THAT(error_of(infer(kGood, {{"Timeout-Ms", "soon"}})), HasSubstr("Timeout-Ms"));
}

TEST_F(ServiceTest, ThousandsOfMalformedRequestsLeaveItHealthy) {
  add_small();
  const std::string good = kGood;
  for (size_t i = 0; i < 2000; ++i) {
    std::string bad = good.substr(0, i % good.size());
    if (i % 2) bad += char(i * 37);
    const Response r = infer(bad);
    ASSERT_EQ(r.status, 400) << bad;
    ASSERT_FALSE(error_of(r).empty());
  }
  EXPECT_EQ(infer(kGood).status, 200);
  const std::string metrics = ask("GET", "/metrics").body;
  EXPECT_THAT(metrics,
              HasSubstr("espalier_requests_total{model=\"small\",outcome=\"rejected\"} 2000"));
  EXPECT_THAT(metrics, HasSubstr("espalier_queue_requests{model=\"small\"} 0"));
}

TEST_F(ServiceTest, MalformedRequestsLeaveTheirPlaceBeforeTheyAreTold) {
  HostOptions o = named("small");
  o.queue.most_waiting = 1;
  service.add(parse_graph(kNetwork), o);
  for (int i = 0; i < 2000; ++i) ASSERT_EQ(infer("{").status, 400) << i;
}

TEST_F(ServiceTest, ShedsWithRetryAfter) {
  HostOptions o = named("small");
  o.queue.most_waiting = 0;
  service.add(parse_graph(kNetwork), o);
  const Response r = infer(kGood);
  EXPECT_EQ(r.status, 503);
  EXPECT_EQ(r.headers.at(0), std::pair(std::string("Retry-After"), std::string("1")));
  EXPECT_THAT(error_of(r), HasSubstr("requests are waiting"));
  EXPECT_THAT(ask("GET", "/metrics").body, HasSubstr("outcome=\"shed\"} 1"));
}

TEST_F(ServiceTest, DeadlinesEndIn504AndGoneClientsAreNotServed) {
  HostOptions o = named("small");
  o.queue.max_delay = 1h;  // nothing runs until the delay or the deadline is over
  service.add(parse_graph(kNetwork), o);
  json body = json::parse(kGood);
  body["parameters"] = {{"timeout", 2000}};
  EXPECT_EQ(infer(body.dump()).status, 504);
  Request left = good_request();
  left.gone = [] { return true; };
  EXPECT_EQ(ask(std::move(left)).status, 499);
  Request slow = good_request();
  slow.began = Clock::now() - 1min;
  slow.headers = {{"Timeout-Ms", "59000"}};
  EXPECT_EQ(ask(std::move(slow)).status, 504) << "received too slowly";
  EXPECT_THAT(ask("GET", "/metrics").body, HasSubstr("outcome=\"expired\"} 2"));
}

TEST_F(ServiceTest, ATimeoutOfZeroIsNone) {
  add_small();
  json body = json::parse(kGood);
  body["parameters"] = {{"timeout", 0}};
  EXPECT_EQ(infer(body.dump()).status, 200);
}

TEST_F(ServiceTest, DrainRefusesWhatComesAndFinishesWhatIsThere) {
  add_small();
  std::vector<std::future<Response>> answers;
  for (int i = 0; i < 20; ++i) {
    Request r = good_request();
    r.began = r.received = Clock::now();
    auto promise = std::make_shared<std::promise<Response>>();
    answers.push_back(promise->get_future());
    service.handle(std::move(r), [promise](Response a) { promise->set_value(std::move(a)); });
  }
  service.drain();
  for (auto& answer : answers) {
    ASSERT_EQ(answer.wait_for(0s), std::future_status::ready) << "drain ends when all are answered";
    EXPECT_EQ(answer.get().status, 200);
  }
  EXPECT_EQ(infer(kGood).status, 503);
  EXPECT_EQ(ask("GET", "/v2").status, 200);
}

TEST_F(ServiceTest, NamesAreUsedOnce) {
  add_small();
  EXPECT_THROW(add_small(), UserError);
}

}  // namespace
}  // namespace espalier::serve
