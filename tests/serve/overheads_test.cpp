// The two picture servers that are compared, and their clients.
#include "serve/overheads.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "base/error.h"
#include "data/photos.h"
#include "formats/images.h"
#include "ir/text.h"
#include "serve/serial_server.h"

namespace espalier::serve {
namespace {

using ::testing::HasSubstr;

constexpr const char* kNetwork = R"(graph "tiny"(%x: f32[N,3,8,6]) -> (%y) {
  %y: f32[N,3,1,1] = GlobalAveragePool(%x)
}
)";

OverheadOptions tiny() {
  OverheadOptions o;
  o.picture.input = "x";
  o.picture.normalize = "imagenet";
  o.threads = 2;
  o.clients = 3;
  o.rounds = 2;
  o.most_requests = 12;  // the time is never over
  o.time = std::chrono::seconds(60);
  return o;
}

std::vector<PictureSet> sets() {
  return {{"jpeg", {encode_jpeg(draw_photo(1, 0, 20, 30)), encode_jpeg(draw_photo(1, 1, 20, 30))}},
          {"png", {encode_png(draw_photo(1, 0, 5, 4))}}};
}

TEST(Overheads, EveryServerAnswersEveryRequest) {
  OverheadOptions o = tiny();
  o.time = std::chrono::milliseconds(200);
  int steps = 0;
  const OverheadReport report = compare_servers(parse_graph(kNetwork), sets(), o, [&] { ++steps; });
  EXPECT_EQ(steps, 6);
  ASSERT_EQ(report.sets.size(), 2u);
  EXPECT_GT(report.network_alone, 0);
  EXPECT_GT(report.geometric_mean, 0);
  for (const OverheadFigures& set : report.sets) {
    EXPECT_LT(set.difference, 0.05) << set.name;
    for (const ServerFigures* f : {&set.serial, &set.fused, &set.average}) {
      EXPECT_EQ(f->failures, 0);
      EXPECT_EQ(f->per_second.size(), 2u);
      EXPECT_GT(f->answers, 0);
      EXPECT_GT(f->lone_ms, 0);
      EXPECT_GT(f->lone_stages[size_t(Stage::decode)], 0);
      EXPECT_GT(f->lone_stages[size_t(Stage::compute)], 0);
      EXPECT_GT(f->overhead_share(), 0);
      EXPECT_LT(f->overhead_share(), 1);
      double sum = 0;
      for (double ms : f->lone_stages) sum += ms;
      EXPECT_LE(sum, f->lone_total * 1.001 + 0.01);
    }
  }
}

Response ask(SerialModel& model, const std::string& body) {
  Request request;
  request.body = body;
  request.began = request.received = Clock::now();
  std::promise<Response> answer;
  model.infer(std::move(request), [&](Response r) { answer.set_value(std::move(r)); });
  return answer.get_future().get();
}

TEST(SerialServer, AnswersAndRefuses) {
  SerialModel model("m",
                    parse_graph("graph \"one\"(%x: f32[1,3,2,4]) -> (%y) {\n"
                                "  %y: f32[1,3,2,4] = Identity(%x)\n}\n"),
                    {.input = "x", .normalize = "raw"}, 1);
  Image image{4, 2, 3, {}};
  for (int i = 0; i < 24; ++i) image.pixels.push_back(uint8_t(i));
  const Response r = ask(model, encode_png(image));
  EXPECT_EQ(r.status, 200);
  EXPECT_THAT(r.body, HasSubstr("\"data\":[0,3,6,9,12,15,18,21,1,4"));
  EXPECT_EQ(r.headers.at(0).first, "Server-Timing");
  EXPECT_THAT(r.headers.at(0).second, HasSubstr("decode;dur="));
  EXPECT_EQ(ask(model, "no picture").status, 400);
  EXPECT_THROW(SerialModel("m", parse_graph(kNetwork), {.input = "x"}, 1), UserError)
      << "the batch is open";
}

TEST(Overheads, LoadIsBorneOrShed) {
  OverheadOptions o = tiny();
  o.time = std::chrono::milliseconds(100);
  o.most_requests = 100000;
  RateOptions rates;
  rates.loads = {0.25, 2};
  rates.time = std::chrono::milliseconds(200);
  rates.connections = 8;
  double capacity = 0;
  const auto figures = bear_load(parse_graph(kNetwork), sets()[0], o, rates, &capacity);
  EXPECT_GT(capacity, 0);
  ASSERT_EQ(figures.size(), 2u);
  for (const RateFigures& f : figures) {
    EXPECT_EQ(f.failures, 0);
    EXPECT_GT(f.accepted, 0);
    EXPECT_EQ(f.accepted + f.shed, f.asked);
    EXPECT_LE(f.p50_ms, f.p99_ms);
  }
  EXPECT_LT(figures[0].per_second, figures[1].per_second);
}

TEST(LoadClient, QuantilesAreOfTheSorted) {
  EXPECT_EQ(quantile({3, 1, 2}, 0.5), 2);
  EXPECT_EQ(quantile({3, 1, 2}, 1), 3);
  EXPECT_EQ(quantile({}, 0.5), 0);
}

TEST(LoadClient, CountsWhatNobodyAnswers) {
  LoadOptions load;
  load.port = 1;  // nobody listens there
  load.path = "/";
  load.bodies = {"x"};
  load.most_requests = 3;
  load.longest = std::chrono::seconds(60);
  const LoadResult r = ask_in_closed_loop(load);
  EXPECT_EQ(r.unconnected, 3);
  EXPECT_EQ(r.ok + r.shed + r.refused + r.wrong + r.closed, 0);
}

}  // namespace
}  // namespace espalier::serve
