// Pictures and reproductions from the command line.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "tests/cli/program.h"

namespace espalier {
namespace {

using nlohmann::json;
using testing::expect_failure;
using ::testing::HasSubstr;
using testing::Ran;
using testing::run_program;
using testing::Scratch;
using ::testing::StartsWith;

constexpr const char* kNetwork = R"(graph "small"(%x: f32[N,5]) -> (%y) {
  %w = parameter f32[5,4] b64"AACAPwAAgD8AAIA/AACAPwAAgD8AAIA/AACAPwAAgD8AAIA/AACAPwAAgD8AAIA/AACAPwAAgD8AAIA/AACAPwAAgD8AAIA/AACAPwAAgD8="
  %c = parameter f32[4] [1, 2, 3, 4]
  %h: f32[N,4] = MatMul(%x, %w)  @"fc"
  %b: f32[N,4] = Add(%h, %c)
  %y: f32[N,4] = LeakyRelu(%b) {alpha = 0.5}
}
)";

class Diagram : public ::testing::Test {
 protected:
  void SetUp() override {
    scratch.write("net.esp", kNetwork);
    net = scratch.path("net.esp");
    svg = scratch.path("net.svg");
  }
  static json object_of(const Ran& r) {
    EXPECT_EQ(r.code, 0) << r.err;
    return json::parse(r.out);
  }

  Scratch scratch;
  std::string net, svg;
};

TEST_F(Diagram, IsWrittenAndReadsBack) {
  const Ran drawn = run_program({"inspect", net, "--diagram", svg});
  EXPECT_EQ(drawn.code, 0) << drawn.err;
  EXPECT_THAT(drawn.out, HasSubstr("3 operators"));
  EXPECT_THAT(read_file(svg), StartsWith("<svg "));
  const json a = object_of(run_program({"inspect", net, "--json"}));
  const json b = object_of(run_program({"inspect", svg, "--json"}));
  for (const char* key : {"name", "inputs", "outputs", "params", "macs", "weight_bytes", "nodes"})
    EXPECT_EQ(a[key], b[key]) << key;
  EXPECT_EQ(run_program({"inspect", net, "--classes"}).out,
            run_program({"inspect", svg, "--classes"}).out);
  EXPECT_THAT(run_program({"inspect", svg}).err, HasSubstr("large constants are taken as zeros"));
}

TEST_F(Diagram, FixedShapesAreDrawnWhereTheyAreAsked) {
  const json o =
      object_of(run_program({"inspect", net, "--diagram", svg, "--batch", "3", "--json"}));
  EXPECT_EQ(o["diagram"], svg);
  EXPECT_EQ(o["operators"], 3);
  EXPECT_EQ(o["bytes"], read_file(svg).size());
  EXPECT_THAT(read_file(svg), HasSubstr("%x: f32[3,5]"));
}

TEST_F(Diagram, MistakesAreTold) {
  EXPECT_EQ(run_program({"inspect", net, "--diagram", svg}).code, 0);
  expect_failure(run_program({"inspect", net, "--diagram", svg}), 2, "exists already",
                 "--overwrite");
  EXPECT_EQ(run_program({"inspect", net, "--diagram", svg, "--overwrite"}).code, 0);
  expect_failure(run_program({"inspect", net, "--diagram", scratch.path("net.png")}), 2,
                 "is no .svg file");
  expect_failure(run_program({"inspect", net, "--diagram", scratch.path("none/net.svg")}), 3,
                 "none/net.svg");
  expect_failure(run_program({"inspect", net, "--diagram", ""}), 2, "the file name is empty");
  expect_failure(run_program({"inspect", net, "--diagram", svg, "--dot"}), 2, "excludes");
  expect_failure(run_program({"inspect", net, "--boxes", "3"}), 2, "--diagram");
  expect_failure(run_program({"inspect", net, "--diagram", svg, "--boxes", "0"}), 2, "'0'");
  expect_failure(
      run_program({"inspect", net, "--diagram", scratch.path("two.svg"), "--boxes", "2"}), 4,
      "has 3 operators", "--boxes 3");
  expect_failure(run_program({"inspect", svg, "--diagram", scratch.path("two.svg")}), 2,
                 "is a picture already");
  // Verbs that look at weights do not take pictures.
  expect_failure(run_program({"bench", svg}), 2, "names no network format");
  scratch.write("other.svg", "<svg xmlns=\"http://www.w3.org/2000/svg\"/>");
  expect_failure(run_program({"inspect", scratch.path("other.svg")}), 3,
                 "carries no diagram's source", "inspect --diagram");
  std::string text = read_file(svg);
  text.replace(text.find("axis N: 0.0"), 11, "axis N: 0.1");
  scratch.write("wrong.svg", text);
  expect_failure(run_program({"inspect", scratch.path("wrong.svg")}), 3, "the picture says");
}

TEST(ReproduceVerb, MeasuresWhatARecipeClaims) {
  const Scratch scratch;
  scratch.write("small.yaml",
                "espalier: 1\n"
                "reproduces: {id: 7, system: small-pictures, paper: p, claim: c, baseline: b, "
                "bar: r}\n"
                "measure: diagrams\n"
                "networks: [transformer_block]\n"
                "faults: 6\n");
  const Ran r = run_program({"reproduce", scratch.path("small.yaml"), "--json"});
  EXPECT_EQ(r.code, 0) << r.err;
  const json o = json::parse(r.out);
  for (const char* key : {"system", "claim", "baseline", "measured", "bar", "verdict", "seconds"})
    EXPECT_TRUE(o.contains(key)) << key;
  EXPECT_EQ(o["verdict"], "holds");
  EXPECT_EQ(o["measured"]["identical"], 1);
  const Ran people = run_program({"reproduce", scratch.path("small.yaml")});
  EXPECT_EQ(people.code, 0);
  EXPECT_THAT(people.out, HasSubstr("verdict: holds"));
  expect_failure(run_program({"reproduce", "no-such-system"}), 3, "no recipe reproduces it");
  expect_failure(run_program({"reproduce", scratch.path("none.yaml")}), 3, "none.yaml");
  expect_failure(run_program({"reproduce"}), 2, "system is required");
}

TEST(ReproduceVerb, SystemsListsIt) {
  const Ran r = run_program({"systems", "--json"});
  EXPECT_EQ(r.code, 0) << r.err;
  bool found = false;
  for (const json& s : json::parse(r.out))
    found = found || (s["name"] == "neural-circuit-diagrams" && s["id"] == "170");
  EXPECT_TRUE(found) << r.out;
}

}  // namespace
}  // namespace espalier
