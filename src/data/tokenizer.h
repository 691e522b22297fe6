// Text to numbers and back: bytes, characters, and byte-pair encoding.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace espalier {

/// A reversible numbering of pieces of text; decode(encode(text)) is the text. Immutable, so it may
/// be used from several threads.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  /// Number of tokens; they are numbered from 0.
  virtual int64_t size() const = 0;
  /// UserError (bad input) naming `where` and the place for text that has no tokens.
  virtual std::vector<int32_t> encode(std::string_view text, const std::string& where) const = 0;
  /// The bytes of one token.
  virtual const std::string& piece(int32_t token) const = 0;
  /// The bytes that text of these tokens has.
  std::string decode(const std::vector<int32_t>& tokens) const;
};

/// Bytes as they are: 256 tokens, every file has them.
std::shared_ptr<const Tokenizer> byte_tokenizer();

/// The characters (Unicode code points) that occur in `text`, in their order. UserError naming
/// `where` for text that is no UTF-8.
std::shared_ptr<const Tokenizer> character_tokenizer(std::string_view text,
                                                     const std::string& where);

/// Byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909) over bytes, as GPT-2 does it
/// (Radford et al. 2019, section 2.2): tokens 0 to 255 are the bytes in GPT-2's order, each merge
/// of two tokens that stand beside each other inside a word adds one (none where its bytes are a
/// token). Words are cut as GPT-2 cuts them, with bytes above 127 taken for letters; on ASCII text
/// the tokens are GPT-2's, given its merges.
class BpeTokenizer : public Tokenizer {
 public:
  struct Merge {
    int32_t left, right;
  };
  explicit BpeTokenizer(const std::vector<Merge>& merges);

  int64_t size() const override { return int64_t(pieces_.size()); }
  std::vector<int32_t> encode(std::string_view text, const std::string& where) const override;
  const std::string& piece(int32_t token) const override { return pieces_[size_t(token)]; }
  const std::vector<Merge>& merges() const { return merges_; }

  /// The file form: GPT-2's merges.txt, one merge a line, best first.
  std::string text() const;
  /// UserError naming file and line for lines that are no merges of tokens known by then.
  static std::shared_ptr<const BpeTokenizer> load(const std::filesystem::path& path);

 private:
  friend BpeTokenizer train_bpe(std::string_view text, int64_t size);
  /// The token it gives: a new one, unless another merge gives the same bytes.
  int32_t add(const Merge& merge);

  std::vector<Merge> merges_;
  std::vector<int32_t> results_;                      // token of each merge
  std::unordered_map<uint64_t, int32_t> ranks_;       // of a pair
  std::unordered_map<std::string, int32_t> numbers_;  // of pieces
  std::vector<std::string> pieces_;
};

/// Merges learned from `text` until there are `size` tokens: at each step the pair that occurs most
/// often, of equals the one whose tokens have the smaller numbers. Fewer tokens where no pair
/// occurs twice. `size` must be above 256.
BpeTokenizer train_bpe(std::string_view text, int64_t size);

/// `name` is "bytes", "characters" (those of `text`), or a file that BpeTokenizer::load reads.
/// UserError (usage) for anything else.
std::shared_ptr<const Tokenizer> find_tokenizer(const std::string& name, std::string_view text,
                                                const std::string& where);

/// The byte after the character that begins at `at`, or 0 where no UTF-8 character does. Sets
/// `code` to its code point.
size_t next_character(std::string_view text, size_t at, uint32_t& code);

}  // namespace espalier
