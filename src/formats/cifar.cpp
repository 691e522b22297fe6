#include "formats/cifar.h"

#include <algorithm>
#include <array>

#include "formats/gzip.h"

namespace espalier {
namespace {

constexpr size_t kPixels = 3 * 32 * 32;

struct Form {
  size_t label_bytes;
  std::array<uint8_t, 2> labels;  // how many values each label byte may take
};
constexpr Form kForms[] = {{1, {10, 0}}, {2, {20, 100}}};

bool fits(const Form& form, std::string_view bytes) {
  const size_t record = form.label_bytes + kPixels;
  if (bytes.empty() || bytes.size() % record != 0) return false;
  for (size_t start = 0; start < bytes.size(); start += record)
    for (size_t l = 0; l < form.label_bytes; ++l)
      if (uint8_t(bytes[start + l]) >= form.labels[l]) return false;
  return true;
}

}  // namespace

CifarRecords read_cifar(std::string_view bytes, const std::string& where) {
  const Form* form = std::find_if(std::begin(kForms), std::end(kForms),
                                  [&](const Form& f) { return fits(f, bytes); });
  if (form == std::end(kForms))
    throw bad_input(where,
                    std::to_string(bytes.size()) +
                        " bytes are not a whole number of CIFAR records with valid labels",
                    "CIFAR-10 records have 3073 bytes, CIFAR-100 records 3074");
  const size_t record = form->label_bytes + kPixels;
  const auto count = int64_t(bytes.size() / record);
  CifarRecords out{Tensor(DType::u8, {count, 3, 32, 32}), Tensor(DType::i64, {count}),
                   form->labels[form->label_bytes - 1]};
  auto* pixels = out.images.mutable_data<uint8_t>();
  auto* labels = out.labels.mutable_data<int64_t>();
  for (int64_t i = 0; i < count; ++i) {
    const char* at = bytes.data() + size_t(i) * record + form->label_bytes;
    labels[i] = uint8_t(at[-1]);
    std::copy(at, at + kPixels, pixels + size_t(i) * kPixels);
  }
  return out;
}

std::string write_cifar(const Tensor& images, const Tensor& labels) {
  const int64_t count = labels.size();
  ESP_CHECK((images.shape() == Shape{count, 3, 32, 32}), "CIFAR images are [N,3,32,32]");
  std::string out;
  out.reserve(size_t(count) * (kPixels + 1));
  const auto* pixels = reinterpret_cast<const char*>(images.data<uint8_t>());
  for (int64_t i = 0; i < count; ++i) {
    const int64_t label = labels.data<int64_t>()[i];
    ESP_CHECK(label >= 0 && label < 10, "CIFAR-10 labels are below 10");
    out += char(label);
    out.append(pixels + size_t(i) * kPixels, kPixels);
  }
  return out;
}

CifarRecords load_cifar(const std::filesystem::path& path) {
  return read_cifar(read_file_gunzipped(path), path.string());
}

}  // namespace espalier
