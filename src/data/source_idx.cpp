// idx:DIR, the files of MNIST and its kin: (train|t10k|test)-images* and -labels*, gz or not.
#include <algorithm>
#include <filesystem>
#include <system_error>

#include "data/source.h"
#include "formats/idx.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

/// The one file in `folder` whose name begins with one of `prefixes` and then `what`; empty when
/// there is none. A plain file wins over its gzip.
fs::path find_file(const std::vector<fs::path>& files, const std::vector<std::string>& prefixes,
                   const std::string& what) {
  for (const std::string& prefix : prefixes)
    for (const fs::path& file : files)
      if (file.filename().string().starts_with(prefix + "-" + what)) return file;
  return {};
}

/// [N, H, W] pictures become [N, 1, H, W].
Tensor with_channels(const Tensor& images) {
  if (images.rank() != 3) return images;
  const Shape& s = images.shape();
  return images.reshaped({s[0], 1, s[1], s[2]});
}

}  // namespace

RawData load_idx_source(const DataSpec& spec) {
  std::error_code error;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(spec.path, error)) files.push_back(entry.path());
  if (error)
    throw bad_input(spec.path, "cannot be listed: " + error.message(),
                    "idx names a folder that holds train-images-idx3-ubyte.gz and companions");
  std::sort(files.begin(), files.end());

  RawData raw;
  std::vector<Tensor> samples, labels;
  const std::vector<std::pair<std::vector<std::string>, int64_t*>> parts = {
      {{"train"}, &raw.train}, {{"t10k", "test"}, &raw.test}};
  for (const auto& [prefixes, count] : parts) {
    const fs::path images = find_file(files, prefixes, "images");
    if (images.empty()) continue;
    const fs::path marks = find_file(files, prefixes, "labels");
    if (marks.empty())
      throw bad_input(spec.path, "has " + images.filename().string() + " but no " + prefixes[0] +
                                     "-labels file");
    samples.push_back(with_channels(load_idx(images)));
    labels.push_back(load_idx(marks));
    const Shape& shape = samples.back().shape();
    if (shape.empty() || labels.back().shape() != Shape{shape[0]})
      throw bad_input(marks.string(), "has shape " + to_string(labels.back().shape()) +
                                          " beside images of shape " + to_string(shape));
    *count = shape[0];
  }
  if (samples.empty())
    throw bad_input(spec.path, "has no train-images or t10k-images file",
                    "IDX folders hold train-images-idx3-ubyte.gz and its three companions");
  raw.samples = concat_rows(samples, spec.path);
  if (raw.samples.dtype() != DType::u8) raw.samples = finite_f32(raw.samples, spec.path);
  set_labels(raw, concat_rows(labels, spec.path), spec.classes, spec.path);
  return raw;
}

}  // namespace espalier
