#include "base/progress.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/log.h"

namespace espalier {
namespace {

TEST(Progress, LineHoldsPercentageRateAndRemainingTime) {
  EXPECT_EQ(progress_line("decoding images", 25200, 60000, "images", 8.0),
            "decoding images  42 %  25200/60000  3150 images/s  11 s left");
  EXPECT_EQ(progress_line("training", 3, 4, "batches", 2.0, "loss 0.5"),
            "training  75 %  3/4  1.50 batches/s  1 s left  loss 0.5");
}

TEST(Progress, LineLeavesOutWhatIsNotKnown) {
  EXPECT_EQ(progress_line("reading", 0, 10, "", 0.0), "reading  0 %  0/10");
  EXPECT_EQ(progress_line("reading", 50, 0, "", 2.0), "reading  50  25.0/s");
  EXPECT_EQ(progress_line("reading", 10, 10, "files", 0.1), "reading  100 %  10/10  100 files/s");
}

TEST(Progress, DurationsReadNaturally) {
  EXPECT_EQ(format_duration(7.6), "8 s");
  EXPECT_EQ(format_duration(200), "3 min 20 s");
  EXPECT_EQ(format_duration(7500), "2 h 05 min");
  EXPECT_EQ(format_duration(-1), "0 s");
}

class Sink {
 public:
  Sink() : former_(set_log_sink([this](std::string_view line) { lines.emplace_back(line); })) {}
  ~Sink() { set_log_sink(former_); }
  std::vector<std::string> lines;

 private:
  LogSink former_;
};

TEST(Log, QuietDropsNewsAndKeepsWarnings) {
  Sink sink;
  log_info("one");
  set_quiet(true);
  log_info("two");
  log_warning("three");
  set_quiet(false);
  EXPECT_EQ(sink.lines, (std::vector<std::string>{"one", "warning: three"}));
}

TEST(Progress, ShortWorkWritesNothingWhereItCannotRedraw) {
  Sink sink;
  {
    Progress progress("counting", 1000);
    for (int i = 0; i < 1000; ++i) progress.advance();
  }
  EXPECT_TRUE(sink.lines.empty());
}

}  // namespace
}  // namespace espalier
