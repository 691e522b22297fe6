#include "recipe/yaml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;

/// The message of the UserError that `body` throws.
template <class Body>
std::string error_of(Body body) {
  try {
    body();
  } catch (const UserError& e) {
    return std::string(e.what()) + " | " + e.hint();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

TEST(Yaml, ReadsScalarsListsAndMapsInOrder) {
  const Yaml y = Yaml::parse("b: 1\na: [x, 2.5]\nc: {d: true}\ne:\n", "r.yaml");
  ASSERT_EQ(y.entries().size(), 4u);
  EXPECT_EQ(y.entries()[0].first.text(), "b");
  EXPECT_EQ(y.find("b")->integer(), 1);
  EXPECT_EQ(y.find("a")->items()[1].number(), 2.5);
  EXPECT_TRUE(y.find("c")->find("d")->boolean());
  EXPECT_TRUE(y.find("e")->is_null());
  EXPECT_EQ(y.find("c")->find("d")->where(), "r.yaml:3");
}

TEST(Yaml, DumpReadsBackTheSame) {
  const std::string text = "a: 1\nb:\n  - {c: \"true\", d: [1, 2]}\n  - relu\ne: ~\n";
  const std::string once = Yaml::parse(text, "a").dump();
  EXPECT_EQ(Yaml::parse(once, "b").dump(), once);
  EXPECT_THAT(once, HasSubstr("\"true\""));
}

TEST(Yaml, SetReplacesOrAddsKeys) {
  Yaml y = Yaml::parse("a: 1\n", "r.yaml");
  y.set("a", "2");
  y.set("b", "3");
  EXPECT_EQ(y.find("a")->integer(), 2);
  EXPECT_EQ(y.find("b")->integer(), 3);
}

TEST(Yaml, ErrorsNameFileAndLine) {
  EXPECT_THAT(error_of([] { Yaml::parse("a: [1, 2\nb: 3\n", "r.yaml"); }),
              HasSubstr("r.yaml:2: is not valid YAML"));
  EXPECT_THAT(error_of([] { Yaml::parse("a: 1\nb: 2\na: 3\n", "r.yaml"); }),
              HasSubstr("r.yaml:3: the key 'a' is given twice"));
  EXPECT_THAT(
      error_of([] { Yaml::parse("a:\n  b: 1x\n", "r.yaml").find("a")->find("b")->integer(); }),
      HasSubstr("r.yaml:2: '1x' is no whole number"));
  EXPECT_THAT(error_of([] { Yaml::parse("a: yes\n", "r.yaml").find("a")->boolean(); }),
              HasSubstr("'yes' is neither true nor false"));
  EXPECT_THAT(error_of([] { Yaml::parse("a: nan\n", "r.yaml").find("a")->number(); }),
              HasSubstr("'nan' is no number"));
  EXPECT_THAT(error_of([] { Yaml::load("/nowhere/r.yaml"); }), HasSubstr("/nowhere/r.yaml"));
}

TEST(Yaml, AliasesCannotUnfoldWithoutEnd) {
  std::string bomb = "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n";
  for (int i = 1; i < 9; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int k = 0; k < 10; ++k) bomb += before + (k < 9 ? "," : "]\n");
  }
  EXPECT_THAT(error_of([&] { Yaml::parse(bomb, "r.yaml"); }), HasSubstr("too many values"));
  EXPECT_THAT(error_of([] { Yaml::parse("a: &a [*a]\n", "r.yaml"); }),
              HasSubstr("nested too deeply"));
}

// Whatever a file holds, reading it takes no more than four times its bytes and 64 MB.
TEST(Yaml, LongTextsAreRefused) {
  std::string list = "a: [";
  while (list.size() < 200'000) list += "1,";
  EXPECT_THAT(error_of([&] { Yaml::parse(list + "1]", "r.yaml"); }),
              HasSubstr("r.yaml: is longer than the 200000 bytes"));
  std::string shared = "a: &a [";
  for (int i = 0; i < 1000; ++i) shared += "1,";
  shared += "1]\nb: [";
  for (int i = 0; i < 100; ++i) shared += "*a,";
  EXPECT_THAT(error_of([&] { Yaml::parse(shared + "*a]\n", "r.yaml"); }),
              HasSubstr("too many values"));
}

TEST(Fields, UnknownKeyNamesItsLineAndTheNearestKey) {
  const Yaml y = Yaml::parse("epochs: 3\nmomentun: 0.9\n", "r.yaml");
  Fields f(y, "training");
  EXPECT_EQ(f.integer("epochs", 1, 1), 3);
  EXPECT_EQ(f.number("momentum", 0.5), 0.5);
  const std::string message = error_of([&] { f.done(); });
  EXPECT_THAT(message, HasSubstr("r.yaml:2: training has no key 'momentun'"));
  EXPECT_THAT(message, HasSubstr("did you mean 'momentum'?"));
}

TEST(Fields, RangesChoicesAndMissingKeysAreChecked) {
  const Yaml y = Yaml::parse("epochs: -3\nkind: adam\n", "r.yaml");
  Fields f(y, "training");
  EXPECT_THAT(error_of([&] { f.integer("epochs", 1, 1); }),
              HasSubstr("r.yaml:1: epochs is -3, it must be at least 1"));
  EXPECT_THAT(error_of([&] {
                f.choice("kind", 0, {"sgd", "adamw"});
              }),
              HasSubstr("kind cannot be 'adam' | did you mean 'adamw'?"));
  EXPECT_THAT(error_of([&] { f.require("data"); }), HasSubstr("training lacks 'data'"));
  EXPECT_THAT(error_of([&] { Fields(y.items().at(0), "x"); }), HasSubstr("a list is needed here"));
}

}  // namespace
}  // namespace espalier
