#include "data/text.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <system_error>

#include "base/error.h"
#include "base/files.h"
#include "base/suggest.h"
#include "data/locate.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kContext = 64;
constexpr int64_t kLongestContext = int64_t{1} << 20;

}  // namespace

TextDataset::TextDataset(Parts parts) : parts_(std::move(parts)) {
  sample_shape_ = {parts_.context};
  const auto count = int64_t(parts_.tokens.size());
  for (int64_t start : parts_.starts)
    ESP_CHECK(start >= 0 && start + parts_.context < count, "windows and their targets lie within");
  bytes_per_token_ = count > 0 ? double(parts_.bytes) / double(count) : 0;
  if (parts_.tokenizer->size() <= std::numeric_limits<uint16_t>::max() + 1) {
    short_.assign(parts_.tokens.begin(), parts_.tokens.end());
    parts_.tokens = {};
  } else {
    long_ = std::move(parts_.tokens);
  }
}

void TextDataset::read(int64_t index, float* sample) const {
  for (int64_t i = 0; i < parts_.context; ++i)
    sample[i] = float(token(parts_.starts[size_t(index)] + i));
}

const Tensor& TextDataset::targets() const {
  std::call_once(targets_made_, [&] {
    targets_ = Tensor(DType::i64, {size(), parts_.context});
    int64_t* to = targets_.mutable_data<int64_t>();
    for (int64_t start : parts_.starts)
      for (int64_t i = 1; i <= parts_.context; ++i) *to++ = token(start + i);
  });
  return targets_;
}

void TextDataset::write(int64_t index, int64_t row, Batch& batch) const {
  const int64_t start = parts_.starts[size_t(index)], n = parts_.context;
  int64_t* in = batch.inputs.mutable_data<int64_t>() + row * n;
  int64_t* next = batch.targets.mutable_data<int64_t>() + row * n;
  for (int64_t i = 0; i < n; ++i) {
    in[i] = token(start + i);
    next[i] = token(start + i + 1);
  }
}

TextParts cut_text(std::string text, double val, double test) {
  const auto boundary = [&](double part, int64_t end) {
    auto at = end - std::llround(part * double(end));
    while (at < end && (uint8_t(text[size_t(at)]) & 0xC0) == 0x80) ++at;
    return at;
  };
  const int64_t tests = boundary(test, int64_t(text.size()));
  const int64_t vals = boundary(val, tests);
  TextParts parts;
  parts.test = text.substr(size_t(tests));
  parts.val = text.substr(size_t(vals), size_t(tests - vals));
  text.resize(size_t(vals));
  parts.train = std::move(text);
  return parts;
}

/// The files below a folder whose names match, one after another in the order of their paths.
static std::string all_files(const fs::path& folder, const std::string& pattern) {
  std::error_code error;
  std::vector<std::string> paths;
  for (const auto& entry : fs::recursive_directory_iterator(folder, error))
    if (entry.is_regular_file(error) && matches_pattern(pattern, entry.path().filename().string()))
      paths.push_back(entry.path().generic_string());
  if (paths.empty())
    throw bad_input(folder.string(), "holds no file '" + pattern + "'",
                    "files names those of a folder: files=*.cpp");
  std::sort(paths.begin(), paths.end());
  std::string text;
  for (const std::string& path : paths) text += read_file(path);
  return text;
}

TextParts read_text(const DataSpec& spec) {
  const auto whole = [&](std::string text, const std::string& where) {
    if (text.empty()) throw bad_input(where, "is empty", "a text has at least one window");
    return cut_text(std::move(text), spec.val, spec.test);
  };
  if (spec.kind == "synthetic")
    return whole(write_sentences(uint64_t(spec.int_option("seed", 1, 0)),
                                 64 * spec.int_option("samples", 16000, 1)),
                 "synthetic:text");
  std::error_code ignored;
  const fs::path folder = spec.path;
  if (const std::string files = spec.option("files"); !files.empty())
    return whole(all_files(folder, files), folder.string());
  if (!fs::is_directory(folder, ignored)) return whole(read_file(folder), folder.string());
  const auto member = [&](std::initializer_list<const char*> names) -> std::string {
    for (const char* name : names)
      if (fs::is_regular_file(folder / name, ignored)) return read_file(folder / name);
    return {};
  };
  TextParts parts{member({"train.txt"}), member({"valid.txt", "val.txt", "validation.txt"}),
                  member({"test.txt"})};
  if (!parts.train.empty() || !parts.val.empty() || !parts.test.empty()) return parts;
  if (fs::is_regular_file(folder / "input.txt", ignored))
    return whole(read_file(folder / "input.txt"), (folder / "input.txt").string());
  throw bad_input(folder.string(), "holds no text",
                  "a folder of text holds input.txt, or train.txt, valid.txt and test.txt");
}

const std::vector<DataKey>& text_keys() {
  static const std::vector<DataKey> keys = {
      {"tokenizer", "characters (default), bytes, or a file that 'data tokenizer' made", true},
      {"context", "tokens of a window (64)"},
      {"files", "of a folder, *.cpp say: all files below it by that name, one after another"},
      {"stride", "tokens from one training window to the next (context); 1 gives them all"}};
  return keys;
}

namespace {

const std::string& part_of(const TextParts& parts, Split split) {
  return split == Split::train ? parts.train : split == Split::val ? parts.val : parts.test;
}

std::string text_of(const TextParts& parts, Split split) {
  return split == Split::all ? parts.train + parts.val + parts.test : part_of(parts, split);
}

class TextSource : public SplitSource {
 public:
  explicit TextSource(const DataSpec& spec)
      : context_(spec.int_option("context", kContext, 1)),
        stride_(spec.int_option("stride", context_, 1)),
        parts_(read_text(spec)) {
    if (context_ > kLongestContext)
      throw usage_error("context=" + std::to_string(context_),
                        "is more than " + std::to_string(kLongestContext));
    refuse_foreign_keys(spec);
    const std::string where = spec.kind + ":" + spec.path;
    tokenizer_ =
        find_tokenizer(spec.option("tokenizer", "characters"), text_of(parts_, Split::all), where);
  }

  std::shared_ptr<const Dataset> split(Split split, const DataSpec& named) const override {
    const std::string text = text_of(parts_, split);
    TextDataset::Parts p;
    p.tokens = tokenizer_->encode(text, named.text());
    p.bytes = int64_t(text.size());
    p.context = context_;
    p.tokenizer = tokenizer_;
    const auto count = int64_t(p.tokens.size());
    if (count <= context_)
      throw bad_input(named.text(),
                      "has " + std::to_string(count) + " tokens, a window and its targets need " +
                          std::to_string(context_ + 1),
                      "choose a longer text, a smaller context, or another part with val and test");
    // Evaluation predicts each token once.
    const int64_t stride = split == Split::train ? stride_ : context_;
    for (int64_t at = 0; at + context_ < count; at += stride) p.starts.push_back(at);
    if (named.limit > 0 && named.limit < int64_t(p.starts.size())) {
      std::vector<int64_t> kept;
      for (int64_t i : drawn_rows(int64_t(p.starts.size()), 0, named.limit, "limit"))
        kept.push_back(p.starts[size_t(i)]);
      p.starts = std::move(kept);
    }
    p.description = named.text() + ", " + std::to_string(p.starts.size()) + " windows of " +
                    std::to_string(context_) + " tokens";
    return std::make_shared<TextDataset>(std::move(p));
  }

 private:
  static void refuse_foreign_keys(const DataSpec& spec) {
    const auto refuse = [&](bool set, const char* key) {
      if (set) throw usage_error(spec.text(), std::string("is text, which has no key ") + key);
    };
    refuse(!spec.normalize.empty(), "normalize");
    refuse(spec.layout != PictureLayout::nchw, "layout");
    refuse(spec.height > 0, "resize");
    refuse(spec.classes > 0, "classes");
  }

  int64_t context_, stride_;
  TextParts parts_;
  std::shared_ptr<const Tokenizer> tokenizer_;
};

}  // namespace

std::string text_of(const DataSpec& given, Split otherwise) {
  DataSpec spec = given;
  const bool generated = find_data_kind(spec.kind).generated;
  if (spec.kind != "text" && spec.text().rfind("synthetic:text", 0) != 0)
    throw usage_error(given.text(), "is no text", "text:FILE and synthetic:text are");
  if (!generated) spec.path = locate_data(spec.path);
  const Split split = spec.split.value_or(otherwise);
  std::string text = text_of(read_text(spec), split);
  if (text.empty()) throw bad_input(spec.with_split(split).text(), "is empty");
  return text;
}

std::unique_ptr<const SplitSource> open_text_source(const DataSpec& spec) {
  return std::make_unique<TextSource>(spec);
}

}  // namespace espalier
