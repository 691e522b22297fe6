#include "serve/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace espalier::serve {
namespace {

using ::testing::HasSubstr;

TEST(Metrics, TextIsWhatPrometheusReads) {
  Metrics m;
  m.counter("a_total", "Things", {{"kind", "x"}}).add(3);
  m.counter("a_total", "Things", {{"kind", "q\"\\\n"}}).add();
  m.gauge("b", "Level", [] { return 2.5; });
  Histogram& h = m.histogram("c_seconds", "Times", {0.1, 1}, {{"model", "m"}});
  for (const double v : {0.05, 0.1, 0.5, 7.0}) h.observe(v);
  EXPECT_EQ(m.text(),
            "# HELP a_total Things\n"
            "# TYPE a_total counter\n"
            "a_total{kind=\"q\\\"\\\\\\n\"} 1\n"
            "a_total{kind=\"x\"} 3\n"
            "# HELP b Level\n"
            "# TYPE b gauge\n"
            "b 2.5\n"
            "# HELP c_seconds Times\n"
            "# TYPE c_seconds histogram\n"
            "c_seconds_bucket{model=\"m\",le=\"0.1\"} 2\n"
            "c_seconds_bucket{model=\"m\",le=\"1\"} 3\n"
            "c_seconds_bucket{model=\"m\",le=\"+Inf\"} 4\n"
            "c_seconds_sum{model=\"m\"} 7.65\n"
            "c_seconds_count{model=\"m\"} 4\n");
}

TEST(Metrics, SameNameAndLabelsAreTheSame) {
  Metrics m;
  m.counter("a", "A", {{"k", "1"}}).add();
  EXPECT_EQ(m.counter("a", "A", {{"k", "1"}}).value(), 1u);
  EXPECT_EQ(m.counter("a", "A", {{"k", "2"}}).value(), 0u);
  m.histogram("h", "H", {1}).observe(0.5);
  EXPECT_EQ(m.histogram("h", "H", {1}).counts(), (std::vector<uint64_t>{1, 0}));
}

TEST(Metrics, NothingIsLostBetweenThreads) {
  Metrics m;
  Counter& c = m.counter("a", "A");
  Histogram& h = m.histogram("h", "H", time_bounds());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 5000; ++i) {
        c.add();
        h.observe(1);
      }
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(c.value(), 20000u);
  EXPECT_EQ(h.sum(), 20000);
  EXPECT_THAT(m.text(), HasSubstr("h_bucket{le=\"1\"} 20000\n"));
}

}  // namespace
}  // namespace espalier::serve
