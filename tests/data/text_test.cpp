// Text: tokenizers there and back, windows and their targets, splits by position, bad input.
#include "data/text.h"

#include <gmock/gmock.h>

#include <numeric>
#include <set>

#include "data/loader.h"
#include "tests/data/fixtures.h"
#include "tests/support/error_of.h"

namespace espalier {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using ::espalier::testing::error_of;

std::shared_ptr<const Dataset> open(const std::string& spec, Split split) {
  return DataSource(DataSpec::parse(spec)).split(split);
}

TEST(Tokenizer, CharactersAreNumberedInTheirOrder) {
  const std::string text = "b\u00e9a\u20ac\U0001F600a";
  const auto t = character_tokenizer(text, "text");
  EXPECT_EQ(t->size(), 5);
  EXPECT_THAT(t->encode(text, "text"), ElementsAre(1, 2, 0, 3, 4, 0));
  EXPECT_EQ(t->decode(t->encode(text, "text")), text);
  EXPECT_THAT(error_of([&] { t->encode("abc", "other"); }),
              HasSubstr("other: holds the character 'c', which the vocabulary lacks"));
}

TEST(Tokenizer, WhatIsNoUtf8IsNamedWithItsPlace) {
  // A lone continuation, an overlong form, half of a pair, beyond Unicode, cut off.
  for (const char* bad :
       {"\x80", "\xC0\x80", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE2\x82"}) {
    const std::string text = std::string("ab\ncd") + bad;
    EXPECT_THAT(error_of([&] { character_tokenizer(text, "file"); }),
                HasSubstr("file: is no UTF-8 at byte 5 (line 2) | tokenizer=bytes"));
    EXPECT_EQ(byte_tokenizer()->decode(byte_tokenizer()->encode(text, "file")), text);
  }
}

// Words: "low" 5 times, "lower" twice, "newest" 6, "widest" 3 (Sennrich et al. 2016, figure 1).
TEST(Bpe, MergesTheMostFrequentPairFirst) {
  std::string text;
  for (const auto& [word, count] :
       {std::pair{"low", 5}, {"lower", 2}, {"newest", 6}, {"widest", 3}})
    for (int i = 0; i < count; ++i) text += std::string(word) + "\n";
  const BpeTokenizer t = train_bpe(text, 256 + 4);
  const auto piece = [&](int64_t i) { return t.piece(int32_t(256 + i)); };
  EXPECT_EQ(t.size(), 260);
  EXPECT_EQ(piece(0), "es");  // 9 times, as "st" is: the smaller numbers win
  EXPECT_EQ(piece(1), "est");
  EXPECT_EQ(piece(2), "lo");
  EXPECT_EQ(piece(3), "low");
  EXPECT_EQ(t.encode("lowest", "").size(), 2u);
  // Nothing occurs twice: fewer tokens than asked for.
  EXPECT_EQ(train_bpe("ab", 300).size(), 256);
}

TEST(Bpe, AnyBytesComeBackAndTheFileIsTheTokenizer) {
  const std::string text = write_sentences(3, 20000);
  const BpeTokenizer t = train_bpe(text, 400);
  EXPECT_EQ(t.text(), train_bpe(text, 400).text());
  std::string all;
  for (int b = 0; b < 256; ++b) all += char(b);
  const std::string awkward = "  It's  50%\n\n\tna\u00efve " + all + "  ";
  const TemporaryFolder folder;
  folder.write("t.bpe", t.text());
  const auto read = BpeTokenizer::load(folder / "t.bpe");
  EXPECT_EQ(read->size(), t.size());
  for (const std::string& s : {text, awkward, std::string()}) {
    const auto tokens = t.encode(s, "");
    EXPECT_EQ(t.decode(tokens), s);
    EXPECT_EQ(read->encode(s, ""), tokens);
  }
  EXPECT_LT(3 * t.encode(text, "").size(), 2 * text.size());
}

// GPT-2's numbering: its first three merges are "Ġ t", "Ġ a", "h e", and '!' is token 0.
TEST(Bpe, ReadsTheFormOfGpt2) {
  const TemporaryFolder folder;
  folder.write("merges.txt", "#version: 0.2\n\u0120 t\n\u0120 a\nh e\n");
  const auto t = BpeTokenizer::load(folder / "merges.txt");
  EXPECT_THAT(t->encode("!the a", ""), ElementsAre(0, 't' - '!', 258, 257));
  for (const auto& [text, message] :
       {std::pair<std::string, std::string>{"ab\n", ":1: is no merge of two tokens"},
        {"a b\nabc d\n", ":2: 'abc' is no token so far"},
        {"", "holds no merges"}}) {
    folder.write("bad.txt", text);
    EXPECT_THAT(error_of([&] { BpeTokenizer::load(folder / "bad.txt"); }), HasSubstr(message));
  }
}

TEST(Text, WindowsAreFollowedByTheirTargets) {
  const TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 100; ++i) text += char(' ' + i % 90);
  folder.write("a.txt", text);
  const std::string spec = "text:" + (folder / "a.txt") + "?tokenizer=bytes&context=8&val=0&test=0";
  const auto data = open(spec, Split::train);
  EXPECT_EQ(data->size(), 12);  // 8 * 12 = 96 tokens and one more
  EXPECT_EQ(data->classes(), 256);
  EXPECT_EQ(data->input_type(), DType::i64);
  EXPECT_EQ(data->bytes_per_target(), 1);
  const Batch b = data->fetch(std::vector<int64_t>{1, 11});
  EXPECT_EQ(b.inputs.shape(), (Shape{2, 8}));
  for (int64_t i = 0; i < 8; ++i) {
    EXPECT_EQ(b.inputs.int_at(i), int64_t(text[size_t(8 + i)]));
    EXPECT_EQ(b.targets.int_at(i), int64_t(text[size_t(9 + i)]));
    EXPECT_EQ(b.targets.int_at(8 + i), int64_t(text[size_t(89 + i)]));
    EXPECT_EQ(data->targets().int_at(8 + i), b.targets.int_at(i));
  }
  EXPECT_EQ(open(spec + "&stride=1", Split::train)->size(), 92);
  EXPECT_EQ(open(spec + "&stride=1", Split::all)->size(), 12);  // evaluation: each token once
  EXPECT_EQ(open(spec + "&stride=1&limit=7", Split::train)->size(), 7);
}

TEST(Text, SplitsLieOneAfterTheOtherAndAreDisjoint) {
  const TemporaryFolder folder;
  const std::string text = write_sentences(5, 5000) + "\u00e9\u00e9\u00e9";
  folder.write("a.txt", text);
  for (const double part : {0.1, 0.25}) {
    const TextParts parts = cut_text(text, part, part);
    EXPECT_EQ(parts.train + parts.val + parts.test, text);
    EXPECT_NEAR(double(parts.test.size()), part * double(text.size()), 4);
    EXPECT_NEAR(double(parts.val.size()), part * (1 - part) * double(text.size()), 4);
  }
  // Cuts fall between characters, wherever they are asked for.
  for (int tenth = 0; tenth < 9; ++tenth)
    character_tokenizer(cut_text("\u20ac\u20ac\u20ac", 0, tenth / 10.0).test, "part");
  folder.write("parts/train.txt", "abcdefghijklmnop");
  folder.write("parts/valid.txt", "ponmlkji");
  const std::string spec = "text:" + (folder / "parts") + "?context=4";
  EXPECT_EQ(open(spec, Split::train)->size(), 3);
  EXPECT_EQ(open(spec, Split::val)->size(), 1);
  EXPECT_THAT(error_of([&] { open(spec, Split::test); }), HasSubstr("has 0 tokens"));
}

TEST(Text, OrderDependsOnSeedAndEpochAndAnEpochMayEndEarly) {
  const std::string spec = "synthetic:text?samples=100&context=16&stride=1";
  const auto data = open(spec, Split::train);
  const auto windows = [&](uint64_t seed, int64_t epoch, int64_t first) {
    Loader loader(data,
                  {.batch = 4, .shuffle = true, .drop_last = true, .max_batches = 6, .seed = seed});
    EXPECT_EQ(loader.batches(), 6);
    loader.start(epoch, first);
    std::vector<int64_t> tokens;
    for (Batch b; loader.next(b);)
      for (int64_t i = 0; i < b.inputs.size(); ++i) tokens.push_back(b.inputs.int_at(i));
    return tokens;
  };
  const auto whole = windows(1, 3, 0);
  EXPECT_EQ(whole.size(), size_t(6 * 4 * 16));
  EXPECT_EQ(windows(1, 3, 0), whole);
  EXPECT_NE(windows(1, 4, 0), whole);
  EXPECT_NE(windows(2, 3, 0), whole);
  const auto rest = windows(1, 3, 2);
  EXPECT_TRUE(std::equal(rest.begin(), rest.end(), whole.begin() + 2 * 4 * 16));
}

TEST(Text, BadInputIsOneErrorWithAPlace) {
  const TemporaryFolder folder;
  folder.write("empty.txt", "");
  folder.write("short.txt", "To be");
  folder.write("latin.txt", "caf\xE9 caf\xE9 caf\xE9 caf\xE9 caf\xE9 caf\xE9 caf\xE9");
  const auto fails = [&](const std::string& rest) {
    return error_of([&] { open("text:" + (folder / rest), Split::train); });
  };
  EXPECT_THAT(fails("empty.txt"), HasSubstr("empty.txt: is empty"));
  EXPECT_THAT(fails("none.txt"), HasSubstr("none.txt: does not exist"));
  EXPECT_THAT(fails("short.txt"), HasSubstr("tokens, a window and its targets need 65"));
  EXPECT_THAT(fails("latin.txt?context=4"), HasSubstr("is no UTF-8 at byte 3 (line 1)"));
  EXPECT_EQ(
      open("text:" + (folder / "latin.txt?context=4&tokenizer=bytes"), Split::train)->classes(),
      256);
  EXPECT_THAT(fails("short.txt?context=0"), HasSubstr("context=0: is not a whole number"));
  EXPECT_THAT(fails("short.txt?tokenizer=words"),
              HasSubstr("tokenizer=words: is not bytes, characters, or a file"));
  EXPECT_THAT(fails("short.txt?normalize=unit"), HasSubstr("is text, which has no key normalize"));
  EXPECT_THAT(fails("short.txt?sausages=2"), HasSubstr("has no key 'sausages'"));
  EXPECT_THAT(error_of([] { open("synthetic:glyphs?context=8", Split::train); }),
              HasSubstr("is no text, which alone has the key context"));
  std::filesystem::create_directories(folder.path() / "folder");
  EXPECT_THAT(fails("folder"), HasSubstr("holds no text | a folder of text holds input.txt"));
}

TEST(Sentences, AreAFunctionOfTheSeedAndAgree) {
  const std::string text = write_sentences(1, 30000);
  EXPECT_EQ(text, write_sentences(1, 30000));
  EXPECT_NE(text.substr(0, 200), write_sentences(2, 200).substr(0, 200));
  EXPECT_TRUE(write_sentences(1, 60000).starts_with(text));
  EXPECT_EQ(std::count(text.begin(), text.end(), '('), std::count(text.begin(), text.end(), ')'));
  EXPECT_EQ(text.find("a old"), std::string::npos);
  EXPECT_NE(text.find("an old"), std::string::npos);
}

}  // namespace
}  // namespace espalier
