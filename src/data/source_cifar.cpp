// cifar:FILE_OR_DIR, binary records. A file whose name contains "test" holds test samples, any
// other training samples; of a folder all *.bin and *.bin.gz are read in the order of their names.
#include <algorithm>
#include <filesystem>
#include <system_error>

#include "base/files.h"
#include "data/source.h"
#include "formats/cifar.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kCifar10Names = {"airplane", "automobile", "bird",  "cat",  "deer",
                                                "dog",      "frog",       "horse", "ship", "truck"};

std::vector<fs::path> record_files(const fs::path& path) {
  if (!fs::is_directory(path)) return {path};
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(path)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".bin") || name.ends_with(".bin.gz")) files.push_back(entry.path());
  }
  if (files.empty()) throw bad_input(path.string(), "has no *.bin or *.bin.gz file");
  std::sort(files.begin(), files.end());
  return files;
}

/// The lines of the names file that the distributed archives carry, or none.
std::vector<std::string> names_beside(const fs::path& folder, int64_t classes) {
  const fs::path file = folder / (classes == 10 ? "batches.meta.txt" : "fine_label_names.txt");
  std::vector<std::string> names;
  if (fs::exists(file)) {
    const std::string text = read_file(file);
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find('\n', at), text.size());
      if (end > at) names.push_back(text.substr(at, end - at));
      at = end + 1;
    }
  }
  if (int64_t(names.size()) == classes) return names;
  return classes == 10 ? kCifar10Names : std::vector<std::string>{};
}

}  // namespace

RawData load_cifar_source(const DataSpec& spec) {
  RawData raw;
  std::vector<Tensor> images, labels, test_images, test_labels;
  const auto files = record_files(spec.path);
  for (const fs::path& file : files) {
    CifarRecords records = load_cifar(file);
    if (raw.classes > 0 && raw.classes != records.classes)
      throw bad_input(spec.path, "mixes CIFAR-10 and CIFAR-100 records");
    raw.classes = records.classes;
    const bool test = file.filename().string().find("test") != std::string::npos;
    (test ? raw.test : raw.train) += records.labels.size();
    (test ? test_images : images).push_back(std::move(records.images));
    (test ? test_labels : labels).push_back(std::move(records.labels));
  }
  images.insert(images.end(), test_images.begin(), test_images.end());
  labels.insert(labels.end(), test_labels.begin(), test_labels.end());
  raw.samples = concat_rows(images, spec.path);
  raw.class_names = names_beside(files[0].parent_path(), raw.classes);
  set_labels(raw, concat_rows(labels, spec.path), raw.classes, spec.path);
  return raw;
}

}  // namespace espalier
