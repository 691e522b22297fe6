#include "ir/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ir/builder.h"
#include "ir/interpret.h"
#include "ir/registry.h"
#include "ir/verify.h"

namespace espalier {
namespace {

TEST(Type, RoundTripsAndRefusesNonsense) {
  for (const char* s : {"f32[N,3,?]", "i64[]", "seq(f32[?])", "optional(seq(string[2]))"})
    EXPECT_EQ(to_string(parse_type(s)), s);
  for (const char* s : {"", "f32", "f99[1]", "f32[-1]", "f32[1", "seq()", "f32[,]"})
    EXPECT_THROW(parse_type(s), UserError) << s;
  std::string deep;
  for (int i = 0; i < 200000; ++i) deep += "seq(";
  deep += "f32[1]" + std::string(200000, ')');
  EXPECT_THROW(parse_type(deep), UserError);
}

TEST(Text, ConstantsKeepEveryBit) {
  Graph g;
  Tensor odd(DType::f32, {3});
  const uint32_t bits[3] = {0x7FC00001u, 0x80000000u, 0x00000001u};
  std::memcpy(odd.mutable_raw(), bits, sizeof bits);
  g.add_output(g.add_constant("odd", odd, Role::kParameter));
  g.add_output(g.add_constant("big", Tensor(DType::bf16, {5, 5}), Role::kBuffer));
  g.add_output(g.add_constant("u", Tensor::scalar<uint64_t>(~0ull)));
  Tensor words(DType::string, {2});
  words.mutable_data<std::string>()[0] = "a \"quoted\"\n";
  g.add_output(g.add_constant("weird name%", words));
  g.metadata["producer"] = "test";
  const Graph back = parse_graph(print(g));
  ASSERT_EQ(back.constants().size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    const Value& a = g.value(g.constants()[i]);
    const Value& b = back.value(back.constants()[i]);
    EXPECT_TRUE(a.constant->identical(*b.constant)) << a.name;
    EXPECT_EQ(a.role, b.role);
  }
  EXPECT_EQ(back.metadata.at("producer"), "test");
}

TEST(Text, ErrorsNameLineAndColumn) {
  const auto message = [](const char* text) -> std::string {
    try {
      parse_graph(text, "m.esp");
      return "parsed";
    } catch (const UserError& e) {
      return e.what();
    }
  };
  EXPECT_EQ(message("graph \"g\"() -> () {\n  %a = Nonsense()\n}"),
            "m.esp:2:8: no operator is named Nonsense");
  EXPECT_EQ(message("graph \"g\"() -> (%x) {}"), "m.esp:1:23: %x is not defined before this line");
  EXPECT_EQ(message("graph \"g\"() -> () {\n %c = constant f32[2] [1]\n}"),
            "m.esp:2:26: 1 elements given for f32[2]");
  EXPECT_THAT(message("graph \"g\"(%x: f32[2,2]) -> (%a) {\n  %a: f32[], %a: f32[2] = TopK(%x)\n}"),
              ::testing::HasSubstr("%a is defined twice"));
  EXPECT_EQ(message("graph \"g\"("), "m.esp:1:11: expected '%'");
  EXPECT_EQ(message(""), "m.esp:1:1: expected 'graph'");
}

}  // namespace
}  // namespace espalier
