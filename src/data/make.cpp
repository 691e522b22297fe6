#include "data/make.h"

#include <algorithm>
#include <cstdio>
#include <system_error>

#include "base/files.h"
#include "base/progress.h"
#include "formats/idx.h"
#include "formats/images.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

struct Part {
  const char* name;      // of the folder
  const char* idx_name;  // how IDX files of it begin
  int64_t begin, end;    // rows
};

std::vector<Part> parts_of(const RawData& raw, DataFormat format) {
  // IDX has no name for validation samples; they stay with the training samples.
  const int64_t train = format == DataFormat::idx ? raw.train + raw.val : raw.train;
  std::vector<Part> parts;
  for (const Part& p :
       {Part{"train", "train", 0, train}, Part{"val", "", train, raw.train + raw.val},
        Part{"test", "t10k", raw.train + raw.val, raw.rows()}})
    if (p.end > p.begin) parts.push_back(p);
  return parts;
}

Tensor rows_between(const Tensor& t, int64_t begin, int64_t end) {
  Shape shape = t.shape();
  const size_t row = t.bytes() / size_t(std::max<int64_t>(1, shape[0]));
  shape[0] = end - begin;
  Tensor out(t.dtype(), shape);
  std::memcpy(out.mutable_raw(), static_cast<const char*>(t.raw()) + size_t(begin) * row,
              out.bytes());
  return out;
}

void write_idx_files(const RawData& raw, const fs::path& folder) {
  const int64_t channels = raw.samples.shape()[1];
  for (const Part& part : parts_of(raw, DataFormat::idx)) {
    Tensor images = rows_between(raw.samples, part.begin, part.end);
    if (channels == 1)
      images = images.reshaped({images.shape()[0], images.shape()[2], images.shape()[3]});
    const Tensor labels = rows_between(raw.targets, part.begin, part.end)
                              .cast(raw.classes <= 256 ? DType::u8 : DType::i32);
    const std::string start = part.idx_name;
    const std::string rank = std::to_string(images.rank());
    save_idx(folder / (start + "-images-idx" + rank + "-ubyte.gz"), images);
    save_idx(folder / (start + "-labels-idx1-" + (raw.classes <= 256 ? "ubyte" : "int") + ".gz"),
             labels);
  }
}

Image picture(const Tensor& samples, int64_t row) {
  const Shape& s = samples.shape();
  const int64_t channels = s[1], pixels = s[2] * s[3];
  Image image{int(s[3]), int(s[2]), int(channels), {}};
  image.pixels.resize(size_t(channels * pixels));
  const uint8_t* in = samples.data<uint8_t>() + row * channels * pixels;
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t p = 0; p < pixels; ++p)
      image.pixels[size_t(p * channels + c)] = in[c * pixels + p];
  return image;
}

/// Folder names of the classes: numbered, so that sorting them keeps the labels, unless the names
/// themselves sort that way.
std::vector<std::string> class_folders(const RawData& raw) {
  const auto& names = raw.class_names;
  bool usable = !names.empty() && std::is_sorted(names.begin(), names.end());
  for (const std::string& n : names)
    usable = usable && !n.empty() && n[0] != '.' && n.find('/') == n.npos;
  if (usable) return names;
  std::vector<std::string> folders;
  for (int64_t k = 0; k < raw.classes; ++k) {
    char number[24];
    std::snprintf(number, sizeof number, "%03d", int(k));
    folders.push_back(number);
    if (names.empty()) continue;
    folders.back() += "_";
    for (char c : names[size_t(k)]) folders.back() += c == '/' || c == ' ' ? '-' : c;
  }
  return folders;
}

void write_pictures(const RawData& raw, const fs::path& folder) {
  const auto folders = class_folders(raw);
  Progress progress("writing pictures", raw.rows(), "pictures");
  for (const Part& part : parts_of(raw, DataFormat::images)) {
    for (const std::string& name : folders) fs::create_directories(folder / part.name / name);
    for (int64_t row = part.begin; row < part.end; ++row) {
      char number[32];
      std::snprintf(number, sizeof number, "%05lld.png", static_cast<long long>(row - part.begin));
      const auto& name = folders[size_t(raw.targets.int_at(row))];
      write_file_atomic(folder / part.name / name / number, encode_png(picture(raw.samples, row)),
                        Sync::no);
      progress.advance();
    }
  }
}

}  // namespace

DataFormat parse_data_format(const std::string& name) {
  if (name == "idx") return DataFormat::idx;
  if (name == "images") return DataFormat::images;
  throw usage_error("format=" + name, "is not one of idx, images");
}

std::string make_data(const DataSpec& spec, const fs::path& folder, DataFormat format,
                      bool overwrite) {
  std::error_code error;
  if (!overwrite && fs::exists(folder, error) && !fs::is_empty(folder, error))
    throw usage_error(folder.string(), "is not empty", "choose another folder, or add --overwrite");
  if (spec.split || spec.limit > 0)
    throw usage_error(spec.text(), "names a part, a folder holds all splits",
                      "leave out split and limit, or write the part to one .npz");
  const DataSource source(spec);
  const RawData& raw = source.raw();
  const bool channels_fit =
      raw.samples.rank() == 4 && (raw.samples.shape()[1] == 1 || raw.samples.shape()[1] == 3);
  if (raw.samples.dtype() != DType::u8 || !channels_fit || raw.classes == 0)
    throw unsupported(spec.text(), "holds no pictures of bytes with class labels",
                      "data make writes pictures only");
  try {
    fs::create_directories(folder);
    if (format == DataFormat::idx) {
      write_idx_files(raw, folder);
    } else {
      write_pictures(raw, folder);
    }
  } catch (const fs::filesystem_error& e) {
    throw bad_input(folder.string(), "cannot be written: " + e.code().message());
  }
  return (format == DataFormat::idx ? "idx:" : "images:") + folder.string();
}

}  // namespace espalier
