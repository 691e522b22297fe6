// Text as windows of tokens for next-token prediction.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/source.h"
#include "data/tokenizer.h"

namespace espalier {

/// Windows over tokens: inputs i64 [N, context], and as targets i64 [N, context] the tokens that
/// follow each of them. Window w begins at token starts[w]; tokens are kept once, in two bytes each
/// where the vocabulary allows it.
class TextDataset : public Dataset {
 public:
  struct Parts {
    std::vector<int32_t> tokens;
    std::vector<int64_t> starts;
    int64_t context = 0;
    int64_t bytes = 0;  ///< of the text that the tokens are
    std::shared_ptr<const Tokenizer> tokenizer;
    std::string description;
  };
  explicit TextDataset(Parts parts);

  int64_t size() const override { return int64_t(parts_.starts.size()); }
  const Shape& sample_shape() const override { return sample_shape_; }
  DType input_type() const override { return DType::i64; }
  DType target_type() const override { return DType::i64; }
  Shape target_shape() const override { return sample_shape_; }
  const Tensor& targets() const override;
  double bytes_per_target() const override { return bytes_per_token_; }
  /// Tokens of the vocabulary.
  int64_t classes() const override { return parts_.tokenizer->size(); }
  const std::vector<std::string>& class_names() const override { return none_; }
  const Normalization& normalization() const override { return as_they_are_; }
  PictureLayout layout() const override { return PictureLayout::nchw; }
  const std::string& description() const override { return parts_.description; }
  /// Token numbers, as floats.
  void read(int64_t index, float* sample) const override;
  void write(int64_t index, int64_t row, Batch& batch) const override;

  const Tokenizer& tokenizer() const { return *parts_.tokenizer; }
  int64_t tokens() const { return int64_t(short_.size() + long_.size()); }

 private:
  int64_t token(int64_t at) const {
    return short_.empty() ? int64_t(long_[size_t(at)]) : int64_t(short_[size_t(at)]);
  }

  Parts parts_;
  Shape sample_shape_;
  double bytes_per_token_;
  std::vector<uint16_t> short_;
  std::vector<int32_t> long_;
  std::vector<std::string> none_;
  Normalization as_they_are_;
  mutable std::once_flag targets_made_;
  mutable Tensor targets_;
};

/// Text in three parts that follow each other.
struct TextParts {
  std::string train, val, test;
};
/// `text` cut by position: its last `test` part, of the rest the last `val` part, and what comes
/// first; cuts fall between characters.
TextParts cut_text(std::string text, double val, double test);

/// The parts behind text:FILE_OR_DIR or synthetic:text: a file, or input.txt of a folder, is cut; a
/// folder may hold train.txt, valid.txt and test.txt instead. With `files`, all files below a
/// folder whose names match, one after another, are cut. UserError for an empty text.
TextParts read_text(const DataSpec& spec);

/// The text of one split of such a source. UserError for other kinds, and where it is empty.
std::string text_of(const DataSpec& spec, Split otherwise);

/// Text written by a small grammar, a function of the seed: sentences whose verbs agree with their
/// subjects, with clauses and quotations, in paragraphs. `size` bytes at least.
std::string write_sentences(uint64_t seed, int64_t size);

/// The source of kind text, and of synthetic:text. UserError for keys that text has no use for.
std::unique_ptr<const SplitSource> open_text_source(const DataSpec& spec);

/// The keys of text: tokenizer, context, files, stride.
const std::vector<DataKey>& text_keys();

}  // namespace espalier
