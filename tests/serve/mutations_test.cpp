// Thousands of malformed requests of every kind, and a server that is healthy afterwards.
#include "tests/serve/mutations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ir/text_bytes.h"
#include "tests/serve/service_fixture.h"

namespace espalier::serve {
namespace {

using ::testing::HasSubstr;

struct Good {
  std::string path, body;
  std::vector<std::pair<std::string, std::string>> headers;
};

std::vector<Good> good_requests() {
  const std::string small = "/v2/models/small/infer", pictures = "/v2/models/pictures/infer";
  const std::string png = encode_png(picture_of_noise(9, 5)),
                    jpeg = encode_jpeg(picture_of_noise(8, 6));
  const std::string head =
      R"({"id": "7", "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2],)"
      R"( "parameters": {"binary_data_size": 8}}], "parameters": {"binary_data_output": true}})";
  const auto in_json = [](const std::string& bytes) {
    return R"({"inputs": [{"name": "x", "datatype": "BYTES", "shape": [1], "data": [")" +
           to_base64(bytes) + "\"]}]}";
  };
  return {{small, kGood, {}},
          {small,
           head + std::string("\0\0\x80\x3f\0\0\x80\xbf", 8),
           {{"Inference-Header-Content-Length", std::to_string(head.size())}}},
          {small, std::string(8, '\0'), {{"Inference-Header-Content-Length", "0"}}},
          {pictures, png, {{"Inference-Header-Content-Length", "0"}}},
          {pictures, jpeg, {{"Inference-Header-Content-Length", "0"}}},
          {pictures, in_json(png), {}},
          {pictures, in_json(jpeg), {{"Timeout-Ms", "1000"}, {"Stage-Times", "on"}}}};
}

TEST_F(ServiceTest, EveryKindOfRequestDamagedThousandsOfTimes) {
  add_small();
  add_pictures();
  const std::vector<Good> good = good_requests();
  for (const Good& g : good)
    ASSERT_EQ(ask("POST", g.path, g.body, g.headers).status, 200) << g.body;
  int accepted = 0, refused = 0;
  for (uint64_t i = 0; i < 5000; ++i) {
    const Good& g = good[i % good.size()];
    auto headers = g.headers;
    // Every tenth has a good body and wrong headers.
    const bool wrong_header = !headers.empty() && i % 10 == 0;
    if (wrong_header) headers[0].second = mutated(headers[0].second, 2, i);
    const Response r = ask("POST", g.path, wrong_header ? g.body : mutated(g.body, 1, i), headers);
    if (r.status == 200) {
      ++accepted;
      continue;
    }
    ++refused;
    // A shorter time may run out.
    const bool hurried = wrong_header && headers[0].first == "Timeout-Ms" && r.status == 504;
    ASSERT_TRUE(r.status == 400 || r.status == 413 || hurried)
        << i << ": " << r.status << " " << r.body;
    ASSERT_FALSE(error_of(r).empty()) << i;
  }
  EXPECT_GT(refused, 3500);
  EXPECT_GT(accepted, 20) << "some defects change nothing that matters";
  for (const Good& g : good) EXPECT_EQ(ask("POST", g.path, g.body, g.headers).status, 200);
  const std::string metrics = ask("GET", "/metrics").body;
  for (const char* model : {"small", "pictures"}) {
    EXPECT_THAT(metrics, HasSubstr("requests_total{model=\"" + std::string(model) +
                                   "\",outcome=\"failed\"} 0"));
    EXPECT_THAT(metrics,
                HasSubstr("espalier_queue_requests{model=\"" + std::string(model) + "\"} 0"));
  }
}

}  // namespace
}  // namespace espalier::serve
