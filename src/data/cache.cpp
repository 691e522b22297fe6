#include "data/cache.h"

#include <cstdio>
#include <system_error>

#include "base/files.h"
#include "base/log.h"
#include "base/rng.h"
#include "formats/byte_reader.h"
#include "formats/gzip.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMagic = "ESPDATA1";
constexpr size_t kAlign = 64;
constexpr uint64_t kMaxRank = 8;

// Everything is little-endian as on the machine that wrote it; the cache does not travel.
template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}
void put_text(std::string& out, std::string_view text) {
  put(out, uint64_t(text.size()));
  out += text;
}
void put_tensor(std::string& out, const Tensor& tensor) {
  put(out, uint64_t(tensor.dtype()));
  put(out, uint64_t(tensor.rank()));
  for (int64_t extent : tensor.shape()) put(out, uint64_t(extent));
  out.resize((out.size() + kAlign - 1) / kAlign * kAlign);
  out.append(static_cast<const char*>(tensor.raw()), tensor.bytes());
}

class Reader {
 public:
  Reader(std::string_view bytes, std::shared_ptr<const void> owner, const std::string& where)
      : in_(bytes, where), owner_(std::move(owner)) {}

  uint64_t number() { return in_.little<uint64_t>("a number"); }
  std::string_view text() { return in_.take(number(), "a text"); }
  std::string_view take(size_t n) { return in_.take(n, "the magic"); }
  Tensor tensor() {
    const uint64_t type = number(), rank = number();
    Shape shape;
    if (type >= uint64_t(DType::string) || rank > kMaxRank)
      throw bad_input(in_.where(), "is damaged");
    for (uint64_t axis = 0; axis < rank; ++axis) shape.push_back(int64_t(number()));
    in_.take((kAlign - in_.position() % kAlign) % kAlign, "padding");
    const int64_t count = numel(shape);
    const std::string_view data = in_.take(size_t(count) * size_of(DType(type)), "the elements");
    return Tensor(DType(type), std::move(shape), owner_, data.data());
  }

 private:
  ByteReader in_;
  std::shared_ptr<const void> owner_;
};

std::string file_name(const std::string& kind, const std::string& key) {
  char digits[24];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(stream_of(key)));
  return kind + "-" + digits + ".cache";
}

}  // namespace

fs::path data_cache_folder() { return cache_folder("data"); }

std::string write_cached_data(const RawData& data, const std::string& key) {
  std::string out(kMagic);
  out.reserve(data.samples.bytes() + data.targets.bytes() + key.size() + 4096);
  put_text(out, key);
  for (int64_t n : {data.train, data.val, data.test, data.classes}) put(out, uint64_t(n));
  put(out, uint64_t(data.class_names.size()));
  for (const std::string& name : data.class_names) put_text(out, name);
  put_tensor(out, data.samples);
  put_tensor(out, data.targets);
  put(out, crc32_of(out));
  return out;
}

RawData read_cached_data(std::string_view bytes, std::shared_ptr<const void> owner,
                         const std::string& key, const std::string& where) {
  if (bytes.size() < kMagic.size() + sizeof(uint32_t) || !bytes.starts_with(kMagic))
    throw bad_input(where, "is not a cache file of this version");
  uint32_t sum;
  std::memcpy(&sum, bytes.data() + bytes.size() - sizeof sum, sizeof sum);
  bytes.remove_suffix(sizeof sum);
  if (crc32_of(bytes) != sum) throw bad_input(where, "is damaged");
  Reader in(bytes, std::move(owner), where);
  in.take(kMagic.size());
  if (in.text() != key) throw bad_input(where, "belongs to other data");
  RawData data;
  for (int64_t* n : {&data.train, &data.val, &data.test, &data.classes}) *n = int64_t(in.number());
  data.class_names.resize(in.number());
  for (std::string& name : data.class_names) name = in.text();
  data.samples = in.tensor();
  data.targets = in.tensor();
  return data;
}

RawData cached_data(const std::string& kind, const std::string& key,
                    const std::function<RawData()>& make) {
  const fs::path folder = data_cache_folder();
  if (folder.empty()) return make();
  const fs::path file = folder / file_name(kind, key);
  std::error_code error;
  if (fs::exists(file, error)) {
    try {
      auto mapped = std::make_shared<const MappedFile>(file);
      const auto bytes = mapped->bytes();
      return read_cached_data({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, mapped,
                              key, file.string());
    } catch (const UserError& e) {
      log_warning(std::string(e.what()) + "; it is made again");
    }
  }
  RawData data = make();
  try {
    fs::create_directories(folder, error);
    if (error) throw bad_input(folder.string(), "cannot be made: " + error.message());
    write_file_atomic(file, write_cached_data(data, key), Sync::no);
  } catch (const UserError& e) {
    log_warning("data is not cached: " + std::string(e.what()));
  }
  return data;
}

}  // namespace espalier
