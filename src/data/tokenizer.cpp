#include "data/tokenizer.h"

#include <algorithm>
#include <set>
#include <unordered_map>

#include "base/error.h"
#include "data/locate.h"

namespace espalier {
namespace {

class ByteTokenizer : public Tokenizer {
 public:
  ByteTokenizer() {
    for (int b = 0; b < 256; ++b) pieces_.emplace_back(1, char(b));
  }
  int64_t size() const override { return 256; }
  std::vector<int32_t> encode(std::string_view text, const std::string&) const override {
    std::vector<int32_t> tokens(text.size());
    std::transform(text.begin(), text.end(), tokens.begin(),
                   [](char c) { return int32_t(uint8_t(c)); });
    return tokens;
  }
  const std::string& piece(int32_t token) const override { return pieces_[size_t(token)]; }

 private:
  std::vector<std::string> pieces_;
};

/// Calls f(code point, its bytes) for each character.
template <class F>
void for_each_character(std::string_view text, const std::string& where, F f) {
  for (size_t at = 0; at < text.size();) {
    uint32_t code = 0;
    const size_t end = next_character(text, at, code);
    if (end == 0) {
      const auto line = 1 + std::count(text.begin(), text.begin() + int64_t(at), '\n');
      throw bad_input(
          where,
          "is no UTF-8 at byte " + std::to_string(at) + " (line " + std::to_string(line) + ")",
          "tokenizer=bytes takes any file");
    }
    f(code, text.substr(at, end - at));
    at = end;
  }
}

class CharacterTokenizer : public Tokenizer {
 public:
  CharacterTokenizer(std::string_view text, const std::string& where) {
    std::set<std::pair<uint32_t, std::string>> found;
    uint32_t last = 0xFFFFFFFF;
    for_each_character(text, where, [&](uint32_t code, std::string_view bytes) {
      if (code != last) found.emplace(code, bytes);
      last = code;
    });
    for (const auto& [code, bytes] : found) {
      numbers_[code] = int32_t(pieces_.size());
      pieces_.push_back(bytes);
    }
  }
  int64_t size() const override { return int64_t(pieces_.size()); }
  std::vector<int32_t> encode(std::string_view text, const std::string& where) const override {
    std::vector<int32_t> tokens;
    tokens.reserve(text.size());
    for_each_character(text, where, [&](uint32_t code, std::string_view bytes) {
      const auto found = numbers_.find(code);
      if (found == numbers_.end())
        throw bad_input(
            where, "holds the character '" + std::string(bytes) + "', which the vocabulary lacks");
      tokens.push_back(found->second);
    });
    return tokens;
  }
  const std::string& piece(int32_t token) const override { return pieces_[size_t(token)]; }

 private:
  std::unordered_map<uint32_t, int32_t> numbers_;
  std::vector<std::string> pieces_;
};

}  // namespace

std::string Tokenizer::decode(const std::vector<int32_t>& tokens) const {
  std::string text;
  for (int32_t token : tokens) {
    ESP_CHECK(token >= 0 && token < size(), "tokens lie in the vocabulary");
    text += piece(token);
  }
  return text;
}

size_t next_character(std::string_view text, size_t at, uint32_t& code) {
  const auto byte = [&](size_t i) { return uint32_t(uint8_t(text[i])); };
  const uint32_t lead = byte(at);
  const size_t more = lead < 0x80   ? 0
                      : lead < 0xC2 ? 9
                      : lead < 0xE0 ? 1
                      : lead < 0xF0 ? 2
                      : lead < 0xF5 ? 3
                                    : 9;
  if (more > 3 || at + more >= text.size()) return 0;
  code = more == 0 ? lead : lead & (0x3Fu >> more);
  for (size_t i = 1; i <= more; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) return 0;
    code = code << 6 | (byte(at + i) & 0x3F);
  }
  // Longer than needed, half of a surrogate pair, or beyond Unicode.
  constexpr uint32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
  if (code < kLeast[more] || (code >= 0xD800 && code < 0xE000) || code > 0x10FFFF) return 0;
  return at + more + 1;
}

std::shared_ptr<const Tokenizer> byte_tokenizer() {
  static const auto only = std::make_shared<const ByteTokenizer>();
  return only;
}

std::shared_ptr<const Tokenizer> character_tokenizer(std::string_view text,
                                                     const std::string& where) {
  return std::make_shared<const CharacterTokenizer>(text, where);
}

std::shared_ptr<const Tokenizer> find_tokenizer(const std::string& name, std::string_view text,
                                                const std::string& where) {
  if (name == "bytes") return byte_tokenizer();
  if (name == "characters") return character_tokenizer(text, where);
  std::string path;
  try {
    path = locate_data(name);
  } catch (const UserError&) {
    throw usage_error("tokenizer=" + name, "is not bytes, characters, or a file",
                      "espalier data tokenizer makes such a file");
  }
  return BpeTokenizer::load(path);
}

}  // namespace espalier
