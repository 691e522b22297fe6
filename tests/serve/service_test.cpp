// The whole server but its sockets: requests in, responses out.
#include "serve/service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "data/normalize.h"
#include "formats/images.h"
#include "ir/text.h"
#include "ir/text_bytes.h"

namespace espalier::serve {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using ::testing::HasSubstr;

constexpr const char* kNetwork = R"(graph "small"(%x: f32[N,2]) -> (%y) {
  %w = parameter f32[2,2] [1, 2, 3, 4]
  %h: f32[N,2] = MatMul(%x, %w)
  %y: f32[N,2] = LeakyRelu(%h) {alpha = 0.5}
}
)";
constexpr const char* kPictures = R"(graph "pictures"(%x: f32[N,3,2,4]) -> (%y) {
  %y: f32[N,3,2,4] = Identity(%x)
}
)";

class ServiceTest : public ::testing::Test {
 protected:
  ServiceTest() : service(limits(), 2) {}
  static RequestLimits limits() {
    RequestLimits l;
    l.infer.most_elements = 1000;
    l.most_pixels = 100;
    return l;
  }
  static HostOptions named(const std::string& name) {
    HostOptions o;
    o.name = name;
    return o;
  }
  void add_small() { service.add(parse_graph(kNetwork), named("small")); }
  void add_pictures() {
    HostOptions o = named("pictures");
    o.pictures = {{"x", "imagenet", PictureLayout::nchw, 0, 0}};
    service.add(parse_graph(kPictures), o);
  }

  Response ask(Request request) {
    request.received = Clock::now();
    if (request.began == Time{}) request.began = request.received;
    std::promise<Response> answer;
    service.handle(std::move(request), [&](Response r) { answer.set_value(std::move(r)); });
    return answer.get_future().get();
  }
  Response ask(const std::string& method, const std::string& path, const std::string& body = "",
               std::vector<std::pair<std::string, std::string>> headers = {}) {
    Request r;
    r.method = method;
    r.path = path;
    r.body = body;
    r.headers = std::move(headers);
    return ask(std::move(r));
  }
  Response infer(const std::string& body,
                 std::vector<std::pair<std::string, std::string>> headers = {}) {
    return ask("POST", "/v2/models/small/infer", body, std::move(headers));
  }
  static std::string error_of(const Response& r) {
    return json::parse(r.body).at("error").get<std::string>();
  }

  Service service;
};

constexpr const char* kGood =
    R"({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, -1]}]})";

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

TEST_F(ServiceTest, MetricsSayWhereTheTimeGoes) {
  add_small();
  add_pictures();
  infer(kGood);
  const std::string text = ask("GET", "/metrics").body;
  for (const char* stage : {"receive", "decode", "queue", "compute", "encode", "total"})
    EXPECT_THAT(text, HasSubstr("espalier_request_stage_seconds_count{model=\"small\",stage=\"" +
                                std::string(stage) + "\"} 1"));
  EXPECT_THAT(text, HasSubstr("stage=\"handoff\"} 2")) << "to decode and to encode";
  EXPECT_THAT(text, HasSubstr("espalier_batch_rows_sum{model=\"small\"} 1"));
  EXPECT_THAT(text, HasSubstr("espalier_http_responses_total{code=\"200\"} 1"));
}

// ---- pictures ----------------------------------------------------------------------------------

Image picture(int width, int height) {
  Image image{width, height, 3, {}};
  for (int i = 0; i < width * height * 3; ++i) image.pixels.push_back(uint8_t(40 + 7 * i));
  return image;
}

/// What the network is to see of that picture.
std::vector<float> expected(const Image& image) {
  const Image small = resize_image(image, 4, 2);
  const Normalization n = parse_normalization("imagenet", DType::u8, 3);
  std::vector<float> values;
  for (int c = 0; c < 3; ++c)
    for (int p = 0; p < 8; ++p)
      values.push_back(float(n.apply(small.pixels[size_t(3 * p + c)], c)));
  return values;
}

TEST_F(ServiceTest, PicturesAreReadAsDataSetsReadThem) {
  add_pictures();
  const Image first = picture(4, 2), second = picture(9, 5);
  const std::string a = encode_png(first), b = encode_png(second);
  const auto check = [&](const Response& r, const std::vector<const Image*>& sent) {
    ASSERT_EQ(r.status, 200) << r.body;
    const auto data = json::parse(r.body)["outputs"][0]["data"].get<std::vector<float>>();
    std::vector<float> want;
    for (const Image* image : sent)
      for (float v : expected(*image)) want.push_back(v);
    EXPECT_EQ(data, want);
  };
  const json in_json = {{"inputs",
                         {{{"name", "x"},
                           {"datatype", "BYTES"},
                           {"shape", {2}},
                           {"data", {to_base64(a), to_base64(b)}}}}}};
  check(ask("POST", "/v2/models/pictures/infer", in_json.dump()), {&first, &second});
  check(ask("POST", "/v2/models/pictures/infer", b, {{"Inference-Header-Content-Length", "0"}}),
        {&second});
  EXPECT_THAT(ask("GET", "/v2/models/pictures").body, HasSubstr("JPEG or PNG"));
  EXPECT_THAT(ask("GET", "/metrics").body, HasSubstr("stage=\"preprocess\"} 2"));
}

TEST_F(ServiceTest, WhatIsNoPictureIsSaid) {
  add_pictures();
  const auto told = [&](const json& data, const json& shape) {
    const json body = {
        {"inputs", {{{"name", "x"}, {"datatype", "BYTES"}, {"shape", shape}, {"data", data}}}}};
    const Response r = ask("POST", "/v2/models/pictures/infer", body.dump());
    return std::to_string(r.status) + " " + error_of(r);
  };
  EXPECT_EQ(told({"!"}, {1}),
            "400 input 'x': picture 0: is not base64, as pictures within JSON are written");
  EXPECT_EQ(told({to_base64("GIF89a..")}, {1}),
            "400 input 'x': picture 0: is neither a PNG nor a JPEG picture");
  EXPECT_THAT(told({to_base64(encode_png(picture(20, 6)))}, {1}),
              HasSubstr("picture 0: has more than 100 pixels"));
  EXPECT_THAT(told({"a", "b"}, {1, 2}), HasSubstr("pictures are BYTES [N]"));
  EXPECT_THAT(told(json::array(), {0}), HasSubstr("pictures are BYTES [N]"));
  EXPECT_EQ(told(std::vector<std::string>(42), {42}),
            "413 input 'x': 42 pictures have more than 1000 elements");
}

TEST_F(ServiceTest, InputsThatTakeNoPicturesAreSaid) {
  const auto refused = [&](const char* network, PictureOptions picture) {
    HostOptions o = named("p");
    o.pictures = {std::move(picture)};
    try {
      service.add(parse_graph(network), o);
    } catch (const UserError& e) {
      return std::string(e.what());
    }
    return std::string("(taken)");
  };
  EXPECT_THAT(refused(kPictures, {.input = "z"}), HasSubstr("no such input"));
  EXPECT_THAT(refused(kNetwork, {.input = "x"}), HasSubstr("no batch of pictures"));
  EXPECT_THAT(refused(kPictures, {.input = "x", .layout = PictureLayout::nhwc}),
              HasSubstr("1 or 3 channels"));
  EXPECT_THAT(refused(kPictures, {.input = "x", .height = 5, .width = 4}),
              HasSubstr("resize asks for a height of 5"));
  EXPECT_THAT(refused(kPictures, {.input = "x", .normalize = "standard"}), HasSubstr("data set"));
  EXPECT_THAT(refused("graph \"g\"(%x: f32[N,3,H,W]) -> (%y) {\n"
                      "  %y: f32[N,3,H,W] = Relu(%x)\n}\n",
                      {.input = "x"}),
              HasSubstr("pictures of any height"));
  EXPECT_THAT(refused("graph \"g\"(%x: f32[N,3,4,0]) -> (%y) {\n"
                      "  %y: f32[N,3,4,0] = Relu(%x)\n}\n",
                      {.input = "x"}),
              HasSubstr("a width of 0"));
}

TEST_F(ServiceTest, NamesAreUsedOnce) {
  add_small();
  EXPECT_THROW(add_small(), UserError);
}

}  // namespace
}  // namespace espalier::serve
