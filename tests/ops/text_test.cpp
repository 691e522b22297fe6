// Strings: casts between text and numbers, normalised words, counted n-grams.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "ir/registry.h"
#include "ir/room.h"

namespace espalier {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Ints = std::vector<int64_t>;
using Words = std::vector<std::string>;

Tensor run(const char* op, const Tensor& x, const AttributeMap& attributes) {
  const Room& room = room_named(op);
  const Tensor* p[] = {&x};
  return run_reference(room, room.parse(attributes, op), p).at(0);
}

std::string refusal(const char* op, const Tensor& x, const AttributeMap& attributes) {
  try {
    run(op, x, attributes);
  } catch (const UserError& e) {
    return e.what() + ("; " + e.hint());
  }
  return "";
}

Tensor words(Words v) {
  return Tensor::from<std::string>({int64_t(v.size())}, std::span<const std::string>(v));
}
Words words_of(const Tensor& t) {
  const auto s = t.span<std::string>();
  return Words(s.begin(), s.end());
}
std::vector<double> numbers_of(const Tensor& t) {
  std::vector<double> v;
  for (int64_t i = 0; i < t.size(); ++i) v.push_back(t.at(i));
  return v;
}

TEST(TextNumbers, ReadBackAsThemselves) {
  const Tensor x = Tensor::from<float>({6}, {0.1f, -3, 1e-7f, 123456.7f, INFINITY, -0.0f});
  const Tensor text = x.cast(DType::string);
  EXPECT_THAT(words_of(text), ElementsAre("0.1", "-3.0", "1e-07", "123456.7", "INF", "-0.0"));
  EXPECT_TRUE(text.cast(DType::f32).identical(x));
  EXPECT_THAT(words_of(Tensor::from<int64_t>({2}, {-5, INT64_MAX}).cast(DType::string)),
              ElementsAre("-5", "9223372036854775807"));
  EXPECT_THAT(words_of(Tensor::from<bool>({2}, {true, false}).cast(DType::string)),
              ElementsAre("True", "False"));
}

TEST(TextNumbers, TakeTheNotationsOfOnnx) {
  const Tensor y = words({"3.14", "1e-5", "1E8", "+INF", "-inf", "Infinity", "NaN", "-7", "1e-60"})
                       .cast(DType::f32);
  EXPECT_THAT(numbers_of(y), ElementsAre(3.14f, 1e-5f, 1e8f, INFINITY, -INFINITY, INFINITY,
                                         ::testing::IsNan(), -7, 0));
  EXPECT_THAT(numbers_of(words({"1", "False"}).cast(DType::boolean)), ElementsAre(1, 0));
  EXPECT_EQ(words({"1e60"}).cast(DType::f32).at(0), INFINITY);
}

TEST(TextNumbers, RefuseWhatIsNoNumberOfTheType) {
  const auto error = [](const char* text, DType to) {
    try {
      words({text}).cast(to);
    } catch (const UserError& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  for (const char* text : {"", "ten", "1.5x", " 1", "+-1", "+"})
    EXPECT_THAT(error(text, DType::f64), HasSubstr("is no f64")) << text;
  EXPECT_THAT(error("2.5", DType::i32), HasSubstr("is no i32"));
  EXPECT_THAT(error("300", DType::u8), HasSubstr("is no u8"));
  EXPECT_THAT(error("-1", DType::u64), HasSubstr("is no u64"));
  EXPECT_THAT(error("yes", DType::boolean), HasSubstr("is no bool"));
}

TEST(StringNormalizer, ChangesCaseOfAllAlphabets) {
  const AttributeMap upper = {{"case_change_action", std::string("UPPER")}};
  const AttributeMap lower = {{"case_change_action", std::string("LOWER")}};
  EXPECT_THAT(words_of(run("StringNormalizer", words({"grün", "ёлка", "x1"}), upper)),
              ElementsAre("GRÜN", "ЁЛКА", "X1"));
  EXPECT_THAT(words_of(run("StringNormalizer",
                           words({"GRÜN", "ΣΑ",
                                  "\xff"
                                  "A"}),
                           lower)),
              ElementsAre("grün", "σα",
                          "\xff"
                          "a"));
}

TEST(StringNormalizer, LeavesBytesThatAreNoUtf8) {
  // 'A' spelled with three bytes and with four.
  const Words longer = {"\xe0\x81\x81", "\xf0\x80\x81\x81"};
  EXPECT_EQ(words_of(run("StringNormalizer", words(longer),
                         {{"case_change_action", std::string("LOWER")}})),
            longer);
}

TEST(StringNormalizer, DropsStopWords) {
  const Tensor x = words({"monday", "Tuesday", "MONDAY"});
  const AttributeMap any = {{"stopwords", Words{"Monday"}}};
  EXPECT_THAT(words_of(run("StringNormalizer", x, any)), ElementsAre("Tuesday"));
  const AttributeMap exact = {{"stopwords", Words{"MONDAY"}}, {"is_case_sensitive", int64_t{1}}};
  EXPECT_THAT(words_of(run("StringNormalizer", x, exact)), ElementsAre("monday", "Tuesday"));
  // Nothing left is one empty string.
  EXPECT_THAT(words_of(run("StringNormalizer", words({"a"}), {{"stopwords", Words{"A"}}})),
              ElementsAre(""));
  EXPECT_THAT(refusal("StringNormalizer", x, {{"locale", std::string("tr_TR")}}),
              HasSubstr("rules of the locale"));
  EXPECT_THAT(refusal("StringNormalizer", Tensor(DType::f32, {2}), {}), HasSubstr("string[C]"));
}

AttributeMap pairs(int64_t skips, const std::string& mode) {
  return {{"min_gram_length", int64_t{1}},   {"max_gram_length", int64_t{2}},
          {"max_skip_count", skips},         {"mode", mode},
          {"ngram_counts", Ints{0, 2}},      {"ngram_indexes", Ints{0, 2, 1}},
          {"pool_int64s", Ints{7, 8, 7, 8}}, {"weights", std::vector<float>{1, 2, 10}}};
}

TEST(TfIdfVectorizer, CountsAndWeighsGrams) {
  const Tensor x = Tensor::from<int64_t>({5}, {7, 8, 7, 9, 8});
  // 7 twice, 8 twice; the pair 7 8 once side by side, once more one apart.
  EXPECT_THAT(numbers_of(run("TfIdfVectorizer", x, pairs(0, "TF"))), ElementsAre(2, 1, 2));
  EXPECT_THAT(numbers_of(run("TfIdfVectorizer", x, pairs(1, "TF"))), ElementsAre(2, 2, 2));
  EXPECT_THAT(numbers_of(run("TfIdfVectorizer", x, pairs(1, "TFIDF"))), ElementsAre(2, 20, 4));
  EXPECT_THAT(numbers_of(run("TfIdfVectorizer", x, pairs(1, "IDF"))), ElementsAre(1, 10, 2));
}

TEST(TfIdfVectorizer, RefusesPoolsThatDoNotFit) {
  const Tensor x = Tensor::from<int64_t>({2}, {7, 8});
  AttributeMap odd = pairs(0, "TF");
  odd["pool_int64s"] = Ints{7, 8, 7};
  EXPECT_THAT(refusal("TfIdfVectorizer", x, odd), HasSubstr("does not divide a pool of 3 items"));
  AttributeMap few = pairs(0, "TF");
  few["ngram_indexes"] = Ints{0, 1};
  EXPECT_THAT(refusal("TfIdfVectorizer", x, few), HasSubstr("2 entries for 3 n-grams"));
  EXPECT_THAT(refusal("TfIdfVectorizer", words({"a"}), pairs(0, "TF")),
              HasSubstr("the pool is for integers"));
  EXPECT_THAT(refusal("TfIdfVectorizer", x, pairs(0, "BM25")), HasSubstr("known: TF, IDF"));
}

}  // namespace
}  // namespace espalier
