// Byte-pair encoding: words, learning merges, applying them, and their file.
#include <algorithm>
#include <array>
#include <map>
#include <unordered_map>

#include "base/error.h"
#include "base/files.h"
#include "data/tokenizer.h"

namespace espalier {
namespace {

// ---- words --------------------------------------------------------------------------------------

enum class Kind { kLetter, kDigit, kSpace, kOther };

Kind kind_of(char c) {
  const auto b = uint8_t(c);
  if (b >= 128 || (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z')) return Kind::kLetter;
  if (b >= '0' && b <= '9') return Kind::kDigit;
  if (b == ' ' || (b >= '\t' && b <= '\r')) return Kind::kSpace;
  return Kind::kOther;
}

/// The end of the clitic ('s, 't, 're, 've, 'm, 'll, 'd) that begins at `at`, or 0.
size_t clitic_end(std::string_view text, size_t at) {
  if (text[at] != '\'') return 0;
  for (const std::string_view c : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"})
    if (text.substr(at, c.size()) == c) return at + c.size();
  return 0;
}

/// The end of the word that begins at `at`: letters, digits or other marks, each after at most one
/// blank; or white space up to the blank that belongs to the next word.
size_t word_end(std::string_view text, size_t at) {
  if (const size_t end = clitic_end(text, at)) return end;
  size_t first = at;
  if (text[at] == ' ' && at + 1 < text.size() && kind_of(text[at + 1]) != Kind::kSpace) ++first;
  const Kind kind = kind_of(text[first]);
  size_t end = first + 1;
  while (end < text.size() && kind_of(text[end]) == kind) ++end;
  if (kind == Kind::kSpace && end < text.size() && end - at > 1) --end;
  return end;
}

template <class F>
void for_each_word(std::string_view text, F f) {
  for (size_t at = 0; at < text.size();) {
    const size_t end = word_end(text, at);
    f(text.substr(at, end - at));
    at = end;
  }
}

// ---- bytes in GPT-2's order ---------------------------------------------------------------------

/// GPT-2 writes each byte as one printable character: 188 as themselves, the rest from U+0100 on;
/// tokens are numbered in the order of these characters.
struct ByteForms {
  std::array<int32_t, 256> token;     ///< of a byte
  std::array<uint8_t, 256> byte;      ///< of a token
  std::array<uint32_t, 256> written;  ///< code point of a token
  ByteForms() {
    const auto printable = [](int b) {
      return (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    };
    int32_t next = 0;
    uint32_t further = 0x100;
    for (const bool wanted : {true, false})
      for (int b = 0; b < 256; ++b) {
        if (printable(b) != wanted) continue;
        token[size_t(b)] = next;
        byte[size_t(next)] = uint8_t(b);
        written[size_t(next++)] = wanted ? uint32_t(b) : further++;
      }
  }
};
const ByteForms& byte_forms() {
  static const ByteForms forms;
  return forms;
}

std::vector<int32_t> byte_tokens(std::string_view word) {
  std::vector<int32_t> tokens;
  for (char c : word) tokens.push_back(byte_forms().token[uint8_t(c)]);
  return tokens;
}

std::string written(const std::string& bytes) {
  std::string text;
  for (int32_t token : byte_tokens(bytes)) {
    const uint32_t code = byte_forms().written[size_t(token)];
    if (code < 0x80) {
      text += char(code);
    } else {
      text += char(0xC0 | code >> 6);
      text += char(0x80 | (code & 0x3F));
    }
  }
  return text;
}

// ---- merging ------------------------------------------------------------------------------------

uint64_t key_of(int32_t left, int32_t right) { return uint64_t(left) << 32 | uint32_t(right); }

/// Every `left` before a `right` becomes `token`, from the left on.
void merge_pair(std::vector<int32_t>& word, int32_t left, int32_t right, int32_t token) {
  size_t to = 0;
  for (size_t i = 0; i < word.size(); ++i) {
    const bool pair = i + 1 < word.size() && word[i] == left && word[i + 1] == right;
    word[to++] = pair ? token : word[i];
    i += pair;
  }
  word.resize(to);
}

/// Words of a text with how often they occur, while merges are learned.
class Learner {
 public:
  explicit Learner(std::string_view text) {
    std::map<std::string_view, int64_t> counted;
    for_each_word(text, [&](std::string_view word) { ++counted[word]; });
    for (const auto& [word, count] : counted) {
      words_.push_back({byte_tokens(word), count});
      note(words_.size() - 1, 1);
    }
  }

  /// The pair to merge next, with its number of occurrences.
  std::pair<BpeTokenizer::Merge, int64_t> best() const {
    uint64_t key = 0;
    int64_t most = 0;
    for (const auto& [pair, places] : pairs_)
      if (places.count > most || (places.count == most && pair < key))
        most = places.count, key = pair;
    return {{int32_t(key >> 32), int32_t(uint32_t(key))}, most};
  }

  void apply(const BpeTokenizer::Merge& merge, int32_t token) {
    const std::vector<size_t> where = pairs_[key_of(merge.left, merge.right)].words;
    for (size_t w : where) {
      note(w, -1);
      merge_pair(words_[w].tokens, merge.left, merge.right, token);
      note(w, 1);
    }
    pairs_.erase(key_of(merge.left, merge.right));
  }

 private:
  struct Word {
    std::vector<int32_t> tokens;
    int64_t count;
  };
  struct Places {
    int64_t count = 0;
    std::vector<size_t> words;  ///< may hold words that no longer have the pair
  };

  /// Adds or takes away the pairs of a word.
  void note(size_t w, int64_t sign) {
    const Word& word = words_[w];
    for (size_t i = 0; i + 1 < word.tokens.size(); ++i) {
      Places& places = pairs_[key_of(word.tokens[i], word.tokens[i + 1])];
      places.count += sign * word.count;
      if (sign > 0 && (places.words.empty() || places.words.back() != w)) places.words.push_back(w);
    }
  }

  std::vector<Word> words_;
  std::unordered_map<uint64_t, Places> pairs_;
};

}  // namespace

BpeTokenizer::BpeTokenizer(const std::vector<Merge>& merges) {
  for (uint8_t b : byte_forms().byte) {
    numbers_[std::string(1, char(b))] = int32_t(pieces_.size());
    pieces_.emplace_back(1, char(b));
  }
  for (const Merge& m : merges) add(m);
}

int32_t BpeTokenizer::add(const Merge& m) {
  ESP_CHECK(std::min(m.left, m.right) >= 0 && std::max(m.left, m.right) < size(),
            "merges are of tokens known by then");
  const std::string joined = piece(m.left) + piece(m.right);
  const auto [entry, fresh] = numbers_.try_emplace(joined, int32_t(pieces_.size()));
  if (fresh) pieces_.push_back(joined);
  ranks_.try_emplace(key_of(m.left, m.right), int32_t(merges_.size()));
  merges_.push_back(m);
  results_.push_back(entry->second);
  return entry->second;
}

std::vector<int32_t> BpeTokenizer::encode(std::string_view text, const std::string&) const {
  const auto merged = [&](std::string_view text_of_word) {
    std::vector<int32_t> word = byte_tokens(text_of_word);
    while (word.size() > 1) {
      int32_t best = int32_t(merges_.size());
      for (size_t i = 0; i + 1 < word.size(); ++i)
        if (const auto found = ranks_.find(key_of(word[i], word[i + 1])); found != ranks_.end())
          best = std::min(best, found->second);
      if (best == int32_t(merges_.size())) break;
      const Merge& m = merges_[size_t(best)];
      merge_pair(word, m.left, m.right, results_[size_t(best)]);
    }
    return word;
  };
  std::unordered_map<std::string_view, std::vector<int32_t>> known;
  std::vector<int32_t> tokens;
  for_each_word(text, [&](std::string_view word) {
    const auto [entry, fresh] = known.try_emplace(word);
    if (fresh) entry->second = merged(word);
    tokens.insert(tokens.end(), entry->second.begin(), entry->second.end());
  });
  return tokens;
}

BpeTokenizer train_bpe(std::string_view text, int64_t size) {
  ESP_CHECK(size > 256, "the bytes are tokens already");
  Learner learner(text);
  BpeTokenizer tokenizer({});
  while (tokenizer.size() < size) {
    const auto [merge, count] = learner.best();
    if (count < 2) break;
    learner.apply(merge, tokenizer.add(merge));
  }
  return tokenizer;
}

std::string BpeTokenizer::text() const {
  std::string out = "#version: 0.2\n";
  for (const Merge& m : merges_)
    out += written(piece(m.left)) + " " + written(piece(m.right)) + "\n";
  return out;
}

std::shared_ptr<const BpeTokenizer> BpeTokenizer::load(const std::filesystem::path& path) {
  const std::string bytes = read_file(path);
  auto made = std::make_shared<BpeTokenizer>(std::vector<Merge>{});
  std::unordered_map<std::string, int32_t> tokens;
  const auto name = [&](int32_t t) { tokens.try_emplace(written(made->piece(t)), t); };
  for (int32_t t = 0; t < 256; ++t) name(t);
  int64_t line = 0;
  for (size_t at = 0; at < bytes.size();) {
    const size_t end = std::min(bytes.find('\n', at), bytes.size());
    std::string text = bytes.substr(at, end - at);
    at = end + 1;
    ++line;
    if (text.ends_with('\r')) text.pop_back();
    if (text.empty() || (line == 1 && text.starts_with("#version"))) continue;
    const auto wrong = [&](const std::string& why) {
      throw bad_input(path.string() + ":" + std::to_string(line), why,
                      "a tokenizer file has one merge a line: two tokens with a blank between");
    };
    const size_t blank = text.find(' ');
    if (blank == std::string::npos || text.find(' ', blank + 1) != std::string::npos)
      wrong("is no merge of two tokens");
    const std::string left = text.substr(0, blank), right = text.substr(blank + 1);
    for (const std::string& part : {left, right})
      if (!tokens.contains(part)) wrong("'" + part + "' is no token so far");
    name(made->add({tokens[left], tokens[right]}));
  }
  if (made->merges().empty())
    throw bad_input(path.string(), "holds no merges",
                    "espalier data tokenizer makes a tokenizer file");
  return made;
}

}  // namespace espalier
