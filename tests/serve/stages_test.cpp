// Where the time of a request goes, in the metrics and in its own response.
#include "serve/stages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <sstream>

#include "tests/serve/service_fixture.h"

namespace espalier::serve {
namespace {

using ::testing::HasSubstr;

TEST_F(ServiceTest, MetricsSayWhereTheTimeGoes) {
  add_small();
  add_pictures();
  infer(kGood);
  const std::string text = ask("GET", "/metrics").body;
  for (const char* stage :
       {"receive", "handoff", "parse", "queue", "assemble", "compute", "encode", "total"})
    EXPECT_THAT(text, HasSubstr("espalier_request_stage_seconds_count{model=\"small\",stage=\"" +
                                std::string(stage) + "\"} 1"));
  for (const char* stage : {"decode", "resize", "normalize", "write"})
    EXPECT_THAT(text, HasSubstr("espalier_request_stage_seconds_count{model=\"small\",stage=\"" +
                                std::string(stage) + "\"} 0"))
        << "no picture, and nothing was written";
  EXPECT_THAT(text, HasSubstr("espalier_batch_rows_sum{model=\"small\"} 1"));
  EXPECT_THAT(text, HasSubstr("espalier_http_responses_total{code=\"200\"} 1"));
}

TEST_F(ServiceTest, WhatWasWrittenIsCounted) {
  add_small();
  const Response r = infer(kGood);
  ASSERT_TRUE(r.sent);
  r.sent();
  EXPECT_THAT(ask("GET", "/metrics").body,
              HasSubstr("stage_seconds_count{model=\"small\",stage=\"write\"} 1"));
}

/// "parse;dur=0.01, total;dur=2" as a map.
std::map<std::string, double> timing_of(const Response& r) {
  std::map<std::string, double> times;
  std::istringstream text(header_of(r, "Server-Timing"));
  for (std::string entry; std::getline(text >> std::ws, entry, ',');) {
    const size_t mark = entry.find(";dur=");
    EXPECT_NE(mark, std::string::npos) << entry;
    times[entry.substr(0, mark)] = std::stod(entry.substr(mark + 5));
  }
  return times;
}

TEST_F(ServiceTest, ResponsesSayTheirTimesWhereAsked) {
  add_small();
  add_pictures();
  EXPECT_EQ(header_of(infer(kGood), "Server-Timing"), "");
  EXPECT_EQ(header_of(infer(kGood, {{"Stage-Times", "off"}}), "Server-Timing"), "");
  const auto plain = timing_of(infer(kGood, {{"stage-times", "on"}}));
  for (const char* stage :
       {"receive", "handoff", "parse", "queue", "assemble", "compute", "encode"})
    EXPECT_TRUE(plain.contains(stage)) << stage;
  EXPECT_FALSE(plain.contains("decode"));
  const auto picture =
      timing_of(ask("POST", "/v2/models/pictures/infer", encode_png(picture_of_noise(9, 5)),
                    {{"Inference-Header-Content-Length", "0"}, {"Stage-Times", "on"}}));
  for (const char* stage : {"decode", "resize", "normalize"})
    EXPECT_TRUE(picture.contains(stage)) << stage;
  for (const auto& times : {plain, picture}) {
    double sum = 0;
    for (const auto& [stage, ms] : times)
      if (stage != "total") sum += ms;
    EXPECT_LE(sum, times.at("total") + 0.011) << "stages do not overlap, up to rounding";
  }
  // Also of what is refused, as far as it came.
  const Response refused = infer("{", {{"Stage-Times", "on"}});
  EXPECT_EQ(refused.status, 400);
  EXPECT_TRUE(timing_of(refused).contains("total"));
  const Response wrong = infer(kGood, {{"Stage-Times", "yes"}});
  EXPECT_EQ(wrong.status, 400);
  EXPECT_EQ(error_of(wrong), "Stage-Times: is neither on nor off");
}

}  // namespace
}  // namespace espalier::serve
