#include "recipe/fit_summary.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace espalier {
namespace {

TEST(Budget, ReadsEveryTermWithItsUnit) {
  const Budget b = parse_budget("latency=1500us,size=200kB,macs=50%,memory=4MiB,drop=1.5");
  EXPECT_DOUBLE_EQ(*b.latency_ms, 1.5);
  EXPECT_DOUBLE_EQ(*b.weight_bytes, 200e3);
  EXPECT_DOUBLE_EQ(*b.macs_fraction, 0.5);
  EXPECT_DOUBLE_EQ(*b.memory_bytes, 4.0 * 1024 * 1024);
  EXPECT_DOUBLE_EQ(*b.drop, 1.5);
  EXPECT_FALSE(parse_budget("").drop.has_value());
}

TEST(Budget, NamesTheTermItCannotRead) {
  const auto message = [](const char* text) -> std::string {
    try {
      parse_budget(text);
      return "read";
    } catch (const UserError& e) {
      return e.what();
    }
  };
  EXPECT_EQ(message("latncy=1ms"), "budget term 'latncy=1ms': is not known");
  EXPECT_EQ(message("latency=1"), "budget term 'latency=1': '1' is no positive amount");
  EXPECT_EQ(message("size=-3kB"), "budget term 'size=-3kB': '-3kB' is no positive amount");
  EXPECT_EQ(message("macs=150%"), "budget term 'macs=150%': is above 100%");
  EXPECT_EQ(message("drop="), "budget term 'drop=': needs points of accuracy, 0 or more");
  EXPECT_EQ(message("energy=1J"), "budget term 'energy': this machine's energy cannot be measured");
}

TEST(Budget, SaysWhichTermIsMissed) {
  const Budget b = parse_budget("macs=50%,drop=1");
  Measured m;
  m.accuracy = 90;
  m.macs = 50;
  EXPECT_FALSE(missed(b, m, 0, 100, 91));
  EXPECT_EQ(missed(b, m, 0, 99, 91)->what, "macs 50.5051% > 50%");
  EXPECT_EQ(missed(b, m, 0, 100, 91.5)->what, "drop 1.5 > 1");
  EXPECT_NEAR(missed(b, m, 0, 50, 91.5)->excess, 1.0, 1e-12);  // twice the MACs
}

FitSummary example() {
  FitSummary s;
  s.model = "net <one>";
  s.data = "synthetic:glyphs";
  s.budget = parse_budget("drop=1");
  s.chosen = "cut, int8";
  s.baseline = {97, 2e6, 1e5, 4e5, 1.0, 0.9, 1.1};
  s.result = {96.5, 1e6, 5e4, 5e4, 0.25, 0.2, 0.3};
  s.speedup = 4;
  s.met = true;
  s.candidates = {{"baseline", false, "f32", s.baseline, 0, 1, false, true, true, ""},
                  {"cut, int8", true, "int8", s.result, 0, 4, false, true, true, ""}};
  s.curves = {{"train", 1, 2.0, 50}, {"train", 2, 1.0, 90}};
  return s;
}

TEST(FitSummary, JsonCarriesTheContractedKeys) {
  const auto j = nlohmann::json::parse(to_json(example()));
  for (const char* side : {"baseline", "result"})
    for (const char* key : {"accuracy", "macs", "params", "weight_bytes", "latency_ms"})
      EXPECT_TRUE(j.at(side).contains(key)) << side << "." << key;
  EXPECT_TRUE(j.at("met").get<bool>());
  EXPECT_EQ(j.at("budget").at("drop"), 1.0);
}

TEST(FitSummary, PageIsSelfContainedAndEscaped) {
  const std::string html = to_html(example());
  EXPECT_EQ(html.find("<one>"), std::string::npos);
  EXPECT_NE(html.find("net &lt;one&gt;"), std::string::npos);
  for (const char* outside : {"http://", "https://", "<script", "src="})
    EXPECT_EQ(html.find(outside), std::string::npos) << outside;
}

}  // namespace
}  // namespace espalier
