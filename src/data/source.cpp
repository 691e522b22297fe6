#include "data/source.h"

#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "base/threads.h"
#include "data/glyphs.h"
#include "data/locate.h"
#include "data/phantoms.h"
#include "data/text.h"
#include "formats/images.h"

namespace espalier {
namespace {

/// Splits must not move when a run changes its seed: models chosen on one validation part are
/// compared with others chosen on it.
constexpr uint64_t kSplitSeed = 0x45737061;

/// Labels are trusted to count the classes of a small set up to here; ImageNet's 21,841 fit.
constexpr int64_t kMostClassesOfFew = 65536;

int64_t part_of(int64_t count, double fraction) { return std::llround(double(count) * fraction); }

/// u8 [N, C, H, W] to other extents.
Tensor resized(const Tensor& samples, int64_t height, int64_t width, const std::string& where) {
  if (samples.rank() != 4 || samples.dtype() != DType::u8)
    throw usage_error("resize", where + " holds no pictures of bytes: its samples are " +
                                    std::string(name_of(samples.dtype())) + " " +
                                    to_string(std::span(samples.shape()).subspan(1)));
  const Shape& s = samples.shape();
  if (s[2] == height && s[3] == width) return samples;
  Tensor out(DType::u8, {s[0], s[1], height, width});
  const uint8_t* in = samples.data<uint8_t>();
  uint8_t* to = out.mutable_data<uint8_t>();
  const int64_t plane = s[2] * s[3], out_plane = height * width;
  parallel_for(s[0] * s[1], 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Image small =
          resize_image({int(s[3]), int(s[2]), 1, {in + i * plane, in + (i + 1) * plane}},
                       int(width), int(height));
      std::copy(small.pixels.begin(), small.pixels.end(), to + i * out_plane);
    }
  });
  return out;
}

std::vector<int64_t> range(int64_t begin, int64_t end) {
  std::vector<int64_t> rows(size_t(std::max<int64_t>(0, end - begin)));
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = begin + int64_t(i);
  return rows;
}

/// Glyphs and phantoms are rows; text is not.
std::unique_ptr<const SplitSource> open_synthetic(const DataSpec& spec) {
  if (spec.extra.contains("size") && spec.path != "phantoms")
    throw usage_error(spec.text(), "holds no volumes, which alone have the key size");
  if (spec.path == "text") return open_text_source(spec);
  for (const DataKey& key : text_keys())
    if (spec.extra.contains(key.name))
      throw usage_error(spec.text(),
                        std::string("is no text, which alone has the key ") + key.name);
  return nullptr;
}

RawData load_synthetic(const DataSpec& spec) {
  if (spec.path == "phantoms") return load_phantoms(spec);
  if (spec.path == "glyphs") return load_glyphs(spec);
  throw usage_error("synthetic:" + spec.path, "is not known",
                    "synthetic:glyphs, synthetic:phantoms and synthetic:text are");
}

std::vector<DataKey> synthetic_keys() {
  std::vector<DataKey> keys = {
      {"samples",
       "glyphs (20000) or phantoms (200) to train on, a fifth as many to test; of text, a 64th of "
       "its bytes (16000)"},
      {"seed", "of the generator (1)"},
      {"size", "of phantoms: voxels along an edge (24)"}};
  keys.insert(keys.end(), text_keys().begin(), text_keys().end());
  return keys;
}

}  // namespace

std::vector<int64_t> drawn_rows(int64_t n, int64_t begin, int64_t end, std::string_view stream) {
  const auto order = Rng(kSplitSeed, stream_of(stream)).permutation(n);
  std::vector<int64_t> rows(order.begin() + begin, order.begin() + end);
  std::sort(rows.begin(), rows.end());
  return rows;
}

const std::vector<DataKey>& common_data_keys() {
  static const std::vector<DataKey> keys = {
      {"split", "train, val, test or all"},
      {"limit", "at most this many samples, drawn evenly from the split"},
      {"normalize", "how elements become inputs"},
      {"layout", "nchw (default) or nhwc"},
      {"resize",
       "pictures to 224x224 (resize=224) or height x width (resize=96x128); at most 16384"},
      {"val", "part of the training samples held out for validation (0.1)"},
      {"test", "part held out for testing where the source names no test samples (0.1)"},
      {"classes", "number of classes when the labels do not show all of them"},
      {"cache", "on (default) or off"},
  };
  return keys;
}

const std::vector<DataKind>& data_kinds() {
  static const std::vector<DataKind> kinds = {
      {"idx",
       "idx:DIR",
       "IDX files named train-images*, train-labels*, t10k-* or test-*, gz or not",
       {},
       load_idx_source},
      {"cifar",
       "cifar:FILE_OR_DIR",
       "CIFAR-10 or CIFAR-100 binary records, gz or not",
       {},
       load_cifar_source},
      {"images",
       "images:DIR_OR_ZIP",
       "JPEG and PNG pictures in [train|val|test/]CLASS/ folders, or a zip of them",
       {{"channels", "1 or 3; by default that of the first picture"},
        {"shrink",
         "how resize makes smaller: sample (default: bilinear) or average (means of blocks "
         "first)"}},
       load_images_source},
      {"npz",
       "npz:FILE",
       "arrays x_train, y_train, x_test, y_test, or x and y",
       {{"x", "name of the array of samples"},
        {"y", "name of the array of targets"},
        {"stored", "axes of x: nchw, nhwc or nhw; makes the samples pictures"}},
       load_npz_source},
      {"csv",
       "csv:FILE",
       "one sample a line, gz or not",
       {{"target", "column of the target, by name or number (the last)"},
        {"columns", "columns of the inputs, separated by commas (all others)"},
        {"task", "classify (default) or regress"},
        {"header", "yes or no (by default: yes when the first line holds no number)"},
        {"separator", "a character, or tab (,)"}},
       load_csv_source},
      {"text", "text:FILE_OR_DIR",
       "text as windows of tokens whose targets are the tokens after them", text_keys(), nullptr,
       /*generated=*/false, open_text_source},
      {"synthetic", "synthetic:glyphs",
       "generated here: 32x32 colour pictures of 20 glyphs; synthetic:phantoms: volumes with a "
       "label for each voxel; synthetic:text: English-like sentences",
       synthetic_keys(), load_synthetic,
       /*generated=*/true, open_synthetic},
  };
  return kinds;
}

const DataKind& find_data_kind(const std::string& name) {
  std::string known;
  for (const DataKind& kind : data_kinds()) {
    if (kind.name == name) return kind;
    known += (known.empty() ? "" : ", ") + std::string(kind.usage);
  }
  throw usage_error("data kind '" + name + "'", "is not known", "kinds are " + known);
}

DataSource::DataSource(DataSpec spec) : spec_(std::move(spec)) {
  const DataKind& kind = find_data_kind(spec_.kind);
  if (!kind.generated) spec_.path = locate_data(spec_.path);
  if (kind.open) opened_ = kind.open(spec_);
  if (opened_) return;
  raw_ = kind.load(spec_);
  const std::string where = spec_.kind + ":" + spec_.path;
  ESP_CHECK(raw_.samples.rank() >= 1 && raw_.samples.shape()[0] == raw_.rows() &&
                raw_.targets.shape()[0] == raw_.rows(),
            "a source counts its rows");
  if (raw_.rows() == 0) throw bad_input(where, "holds no samples");
  if (spec_.height > 0) raw_.samples = resized(raw_.samples, spec_.height, spec_.width, where);
  const int64_t channels = raw_.samples.rank() > 1 ? raw_.samples.shape()[1] : 1;
  if (is_standard_normalization(spec_.normalize)) {
    const auto train = rows_of(Split::train);
    normalization_ =
        measure_normalization(raw_.samples, train.empty() ? rows_of(Split::all) : train);
  } else {
    normalization_ = parse_normalization(spec_.normalize, raw_.samples.dtype(), channels);
  }
}

const RawData& DataSource::raw() const {
  if (opened_) throw unsupported(spec_.text(), "is not made of rows");
  return raw_;
}

std::vector<int64_t> DataSource::rows_of(Split split) const {
  const int64_t pool = raw_.train;
  // One permutation, cut in three, keeps the parts disjoint whatever the fractions are.
  const int64_t tests = raw_.test > 0 ? 0 : part_of(pool, spec_.test);
  const int64_t vals = raw_.val > 0 ? 0 : part_of(pool - tests, spec_.val);
  switch (split) {
    case Split::train: return drawn_rows(pool, tests + vals, pool, "splits");
    case Split::val:
      return raw_.val > 0 ? range(pool, pool + raw_.val)
                          : drawn_rows(pool, tests, tests + vals, "splits");
    case Split::test:
      return raw_.test > 0 ? range(pool + raw_.val, raw_.rows())
                           : drawn_rows(pool, 0, tests, "splits");
    case Split::all: return range(0, raw_.rows());
  }
  return {};
}

std::shared_ptr<const Dataset> DataSource::split(Split split) const {
  DataSpec named = spec_.with_split(split);
  if (opened_) return opened_->split(split, named);
  std::vector<int64_t> rows = rows_of(split);
  if (rows.empty())
    throw bad_input(named.text(), "holds no samples",
                    split == Split::val && spec_.val == 0 ? "val=0 holds out nothing; try val=0.1"
                    : split == Split::test && spec_.test == 0
                        ? "test=0 holds out nothing; try test=0.1"
                        : "");
  if (spec_.limit > 0 && spec_.limit < int64_t(rows.size())) {
    std::vector<int64_t> kept;
    for (int64_t i : drawn_rows(int64_t(rows.size()), 0, spec_.limit, "limit"))
      kept.push_back(rows[size_t(i)]);
    rows = std::move(kept);
  }
  ArrayDataset::Parts parts{raw_.samples,     raw_.targets,   std::move(rows), raw_.classes,
                            raw_.class_names, normalization_, spec_.layout,    ""};
  parts.description = named.text() + ", " + std::to_string(parts.rows.size()) + " samples";
  return std::make_shared<ArrayDataset>(std::move(parts));
}

std::shared_ptr<const Dataset> load_dataset(const DataSpec& spec, Split otherwise) {
  return DataSource(spec).split(spec.split.value_or(otherwise));
}

Tensor concat_rows(const std::vector<Tensor>& parts, const std::string& where) {
  if (parts.size() == 1) return parts[0];
  ESP_CHECK(!parts.empty(), "something to concatenate");
  Shape shape = parts[0].shape();
  for (size_t i = 1; i < parts.size(); ++i) {
    const Tensor& p = parts[i];
    if (p.dtype() != parts[0].dtype() || p.rank() != parts[0].rank() ||
        !std::equal(p.shape().begin() + 1, p.shape().end(), shape.begin() + 1))
      throw bad_input(where, "holds samples of different shapes: " + to_string(parts[0].shape()) +
                                 " and " + to_string(p.shape()));
    shape[0] += p.shape()[0];
  }
  Tensor out(parts[0].dtype(), shape);
  char* to = static_cast<char*>(out.mutable_raw());
  for (const Tensor& p : parts) {
    if (p.bytes() > 0) std::memcpy(to, p.raw(), p.bytes());
    to += p.bytes();
  }
  return out;
}

void set_labels(RawData& raw, Tensor labels, int64_t classes, const std::string& where) {
  Shape of_places = raw.samples.shape();
  if (of_places.size() > 2) of_places.erase(of_places.begin() + 1);
  const bool of_samples = labels.shape() == Shape{raw.rows()};
  if (!is_int(labels.dtype()) || (!of_samples && labels.shape() != of_places))
    throw bad_input(where,
                    "has labels " + std::string(name_of(labels.dtype())) + " " +
                        to_string(labels.shape()) + " for " + std::to_string(raw.rows()) +
                        " samples",
                    "labels are whole numbers, one per sample or one per place of it");
  labels = labels.cast(DType::i64);
  const int64_t limit = classes > 0 ? classes : std::max(kMostClassesOfFew, raw.rows());
  const int64_t each = labels.size() / std::max<int64_t>(1, raw.rows());
  const auto refuse = [&](int64_t label, const std::string& why, const std::string& hint = "") {
    throw bad_input(where,
                    "gives sample " + std::to_string(label / each) + " the label " +
                        std::to_string(labels.data<int64_t>()[label]) + why,
                    hint);
  };
  int64_t most = -1;
  for (int64_t i = 0; i < labels.size(); ++i) {
    const int64_t label = labels.data<int64_t>()[i];
    if (label < 0) refuse(i, ", labels begin at 0");
    if (label >= limit && classes > 0)
      refuse(i, ", beyond " + std::to_string(classes) + " classes");
    if (label >= limit)
      refuse(i, ", more classes than " + std::to_string(raw.rows()) + " samples can show",
             "number labels from 0, or say classes=N; numbers to predict are stored as floats");
    most = std::max(most, label);
  }
  raw.targets = std::move(labels);
  raw.classes = classes > 0 ? classes : most + 1;
}

Tensor finite_f32(const Tensor& samples, const std::string& where) {
  Tensor out = samples.cast(DType::f32);
  const int64_t step = out.size() / std::max<int64_t>(1, out.rank() > 0 ? out.shape()[0] : 1);
  for (int64_t i = 0; i < out.size(); ++i)
    if (!std::isfinite(out.data<float>()[i]))
      throw bad_input(where, "sample " + std::to_string(i / std::max<int64_t>(1, step)) +
                                 " holds a value that is not finite");
  return out;
}

}  // namespace espalier
