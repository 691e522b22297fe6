// Pictures as files: what is drawn, that they are XML, that they read back, what is folded.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "diagram/diagram.h"
#include "diagram/labels.h"
#include "diagram/repeats.h"
#include "diagram/same.h"
#include "tests/diagram/networks.h"
#include "tests/support/run_op.h"
#include "tests/support/samples.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
using testing::user_error;

size_t count(const std::string& text, const std::string& what) {
  size_t n = 0;
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size()) ++n;
  return n;
}

/// Why a text is no XML as far as tags and entities go; empty where it is.
std::string xml_problem(const std::string& xml) {
  std::vector<std::string> open;
  for (size_t at = 0; at < xml.size(); ++at) {
    if (static_cast<unsigned char>(xml[at]) < 0x20 && xml[at] != '\n') return "control character";
    if (xml[at] == '&') {
      const std::string rest = xml.substr(at, 7);
      bool known = false;
      for (const char* e : {"&lt;", "&gt;", "&amp;", "&quot;"}) known |= rest.starts_with(e);
      if (!known) return "entity " + rest;
    }
    if (xml[at] != '<') continue;
    if (xml.compare(at, 9, "<![CDATA[") == 0) {
      at = xml.find("]]>", at);
      if (at == std::string::npos) return "open CDATA";
      at += 2;
      continue;
    }
    const size_t end = xml.find('>', at);
    if (end == std::string::npos) return "open tag";
    const std::string tag = xml.substr(at + 1, end - at - 1);
    if (count(tag, "\"") % 2 != 0 || tag.find('<') != std::string::npos) return "tag " + tag;
    const std::string name = tag.substr(0, tag.find_first_of(" /", 1));
    if (tag[0] == '/') {
      if (open.empty() || "/" + open.back() != tag) return "closing " + tag;
      open.pop_back();
    } else if (tag.back() != '/') {
      open.push_back(name);
    }
    at = end;
  }
  return open.empty() ? "" : "unclosed " + open.back();
}

TEST(Picture, ShowsEveryAxisBroadcastAndPath) {
  const Graph g = parse_graph(testing::kSkip);
  const std::string svg = diagram::draw(g);
  EXPECT_EQ(xml_problem(svg), "");
  EXPECT_EQ(count(svg, "<g class=\"box\""), 4u);
  EXPECT_EQ(count(svg, "<g class=\"input\""), 1u);
  EXPECT_EQ(count(svg, "<g class=\"output\""), 1u);
  // x twice, h, b, s and y: six values on their way; w, c and the scalar as constants.
  EXPECT_EQ(count(svg, "<g class=\"link\""), 6u);
  EXPECT_EQ(count(svg, "<g class=\"store\""), 3u);
  EXPECT_EQ(count(svg, "<path class=\"axis\""), 6u * 2 + 2 + 1);
  EXPECT_EQ(count(svg, "<path class=\"thread\""), 1u);
  // The bias along N, the scalar along both axes.
  EXPECT_EQ(count(svg, "<path class=\"repeat\""), 3u);
  EXPECT_THAT(svg, HasSubstr("prefers-color-scheme:dark"));
  EXPECT_EQ(diagram::difference(g, diagram::read_picture(svg, "p.svg")), "");
}

TEST(Picture, ReadsSourcesThatOtherProgramsEscaped) {
  const Graph g = parse_graph(testing::kSkip);
  const std::string source = diagram::source_in(diagram::draw(g), "p.svg");
  EXPECT_EQ(source, diagram::diagram_source(g));
  std::string text;
  for (char c : source)
    text += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : std::string(1, c);
  const std::string svg = "<svg><metadata id=\"espalier-diagram\">" + text + "</metadata></svg>";
  EXPECT_EQ(diagram::source_in(svg, "p.svg"), source);
}

TEST(Picture, OthersAreRefused) {
  const auto error = [](const std::string& svg) {
    return user_error([&] { diagram::read_picture(svg, "p.svg"); });
  };
  EXPECT_THAT(error("<svg/>"), HasSubstr("p.svg: carries no diagram's source"));
  EXPECT_THAT(error(""), HasSubstr("carries no diagram's source"));
  const std::string open = "<svg><metadata id=\"espalier-diagram\">";
  EXPECT_THAT(error(open), HasSubstr("ends within its diagram's source"));
  EXPECT_THAT(error(open + "<![CDATA[diagram 1"), HasSubstr("ends within"));
  EXPECT_THAT(error(open + "<b/></metadata>"), HasSubstr("has markup"));
  EXPECT_THAT(error(open + "&euro;</metadata>"), HasSubstr("'&euro;'"));
  EXPECT_THAT(error(open + "&euro"), HasSubstr("not understood"));
  EXPECT_THAT(error(open + "</metadata>"), HasSubstr("is no diagram's source"));
}

TEST(Picture, OfEveryOperatorReadsBack) {
  size_t drawn = 0;
  for (const testing::SampleCase& c : testing::all_sample_cases()) {
    SCOPED_TRACE(c.name());
    std::vector<Tensor> inputs;
    const Graph g = testing::sample_graph(c, testing::sample_operands(c), &inputs);
    std::string svg;
    ASSERT_NO_THROW(svg = diagram::draw(g));
    EXPECT_EQ(xml_problem(svg), "");
    ++drawn;
  }
  EXPECT_GT(drawn, 300u);
}

TEST(Repeats, BlocksInARowAreFound) {
  const Graph g = parse_graph(testing::repeated_text(5));
  const std::vector<diagram::Repetition> found = diagram::repeated_blocks(g);
  // The first LeakyRelu reads an input, so blocks are counted from the Mul behind it.
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].begin, 1u);
  EXPECT_EQ(found[0].length, 2u);
  EXPECT_EQ(found[0].count, 4u);
  EXPECT_TRUE(diagram::repeated_blocks(parse_graph(testing::kSkip)).empty());
  EXPECT_TRUE(diagram::repeated_blocks(Graph()).empty());
}

TEST(Repeats, LargeNetworksAreFoldedOrRefused) {
  const Graph g = parse_graph(testing::repeated_text(5));
  const std::string whole = diagram::draw(g), folded = diagram::draw(g, {.most_boxes = 5});
  EXPECT_EQ(count(whole, "<g class=\"box\""), 10u);
  EXPECT_EQ(count(folded, "<g class=\"box\""), 4u);
  EXPECT_THAT(folded, HasSubstr(">×4</text>"));
  EXPECT_EQ(xml_problem(folded), "");
  // Whatever is drawn, the source says it all.
  EXPECT_EQ(diagram::source_in(folded, "p.svg"), diagram::source_in(whole, "p.svg"));
  try {
    diagram::draw(g, {.most_boxes = 3});
    FAIL() << "ten operators are no picture of three boxes";
  } catch (const UserError& e) {
    EXPECT_EQ(e.code(), ExitCode::kUnsupported);
    EXPECT_THAT(e.what(), HasSubstr("has 10 operators, 4 with repeated blocks drawn once"));
    EXPECT_THAT(e.hint(), HasSubstr("--boxes 4"));
  }
}

TEST(Labels, AreShortenedAndEscaped) {
  using namespace diagram;
  EXPECT_EQ(shortened("abcdef", 6), "abcdef");
  EXPECT_EQ(shortened("abcdefg", 6), "abcde…");
  EXPECT_EQ(shortened("ééééé", 3), "éé…");
  EXPECT_EQ(shortened_name("layer1.conv", 5), "…conv");
  EXPECT_EQ(shortened_name("conv", 5), "conv");
  EXPECT_EQ(escaped("<a & \"b\">\n"), "&lt;a &amp; &quot;b&quot;&gt;\\x0a");
  EXPECT_EQ(with_valid_bytes("é\xff\xc3"), "é\\xff\\xc3");
}

}  // namespace
}  // namespace espalier
