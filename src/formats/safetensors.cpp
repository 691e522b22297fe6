#include "formats/safetensors.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/files.h"

namespace espalier {
namespace {

using nlohmann::json;

constexpr size_t kPrefix = 8;
constexpr uint64_t kMaxHeader = 100'000'000;
constexpr const char* kMetadata = "__metadata__";

struct TypeName {
  DType type;
  const char* name;
};
constexpr std::array kTypes = {
    TypeName{DType::f64, "F64"},      TypeName{DType::f32, "F32"}, TypeName{DType::bf16, "BF16"},
    TypeName{DType::f16, "F16"},      TypeName{DType::i64, "I64"}, TypeName{DType::i32, "I32"},
    TypeName{DType::i16, "I16"},      TypeName{DType::i8, "I8"},   TypeName{DType::u64, "U64"},
    TypeName{DType::u32, "U32"},      TypeName{DType::u16, "U16"}, TypeName{DType::u8, "U8"},
    TypeName{DType::boolean, "BOOL"},
};

const char* name_in_file(DType type, const std::string& tensor) {
  for (const TypeName& t : kTypes)
    if (t.type == type) return t.name;
  throw unsupported("tensor '" + tensor + "'",
                    "safetensors cannot hold elements of type " + std::string(name_of(type)));
}

std::optional<DType> type_in_file(const std::string& name) {
  for (const TypeName& t : kTypes)
    if (name == t.name) return t.type;
  return std::nullopt;
}

/// Tensors as they lie in a file we write: wide elements first, then by name.
std::vector<const std::pair<const std::string, Tensor>*> in_file_order(const TensorFile& file) {
  std::vector<const std::pair<const std::string, Tensor>*> order;
  for (const auto& entry : file.tensors) order.push_back(&entry);
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return size_of(a->second.dtype()) > size_of(b->second.dtype());
  });
  return order;
}

struct Reader {
  std::string_view bytes;
  const std::string& where;

  [[noreturn]] void fail(const std::string& what) const {
    throw bad_input(where, what, "the file is damaged or no safetensors file");
  }

  json header(std::string_view& data) const {
    if (bytes.size() < kPrefix) fail("has " + std::to_string(bytes.size()) + " bytes");
    uint64_t length = 0;
    for (size_t i = kPrefix; i-- > 0;) length = length << 8 | uint8_t(bytes[i]);
    if (length > kMaxHeader || length > bytes.size() - kPrefix)
      fail("its header of " + std::to_string(length) + " bytes is cut off");
    data = bytes.substr(kPrefix + length);
    json header = json::parse(bytes.substr(kPrefix, length), nullptr, /*allow_exceptions=*/false);
    if (!header.is_object()) fail("its header is no JSON object");
    return header;
  }

  Shape shape_of(const std::string& name, const json& entry) const {
    const auto it = entry.find("shape");
    if (it == entry.end() || !it->is_array()) fail("tensor '" + name + "' has no shape");
    Shape shape;
    for (const json& extent : *it) {
      if (!extent.is_number_unsigned()) fail("tensor '" + name + "' has a shape with no extents");
      const auto value = extent.get<uint64_t>();
      if (value > uint64_t(std::numeric_limits<int64_t>::max()))
        fail("tensor '" + name + "' has an extent beyond all memory");
      shape.push_back(int64_t(value));
    }
    return shape;
  }

  struct Place {
    std::string name;
    DType type;
    Shape shape;
    uint64_t begin, end;
  };

  Place place_of(const std::string& name, const json& entry, size_t data_size) const {
    if (!entry.is_object()) fail("tensor '" + name + "' is described by no object");
    const auto type_name = entry.find("dtype");
    if (type_name == entry.end() || !type_name->is_string())
      fail("tensor '" + name + "' has no element type");
    const auto type = type_in_file(type_name->get<std::string>());
    if (!type)
      throw unsupported(where, "tensor '" + name + "' has the unknown element type '" +
                                   type_name->get<std::string>() + "'");
    const auto offsets = entry.find("data_offsets");
    if (offsets == entry.end() || !offsets->is_array() || offsets->size() != 2 ||
        !(*offsets)[0].is_number_unsigned() || !(*offsets)[1].is_number_unsigned())
      fail("tensor '" + name + "' has no place in the file");
    Place p{name, *type, shape_of(name, entry), (*offsets)[0].get<uint64_t>(),
            (*offsets)[1].get<uint64_t>()};
    if (p.begin > p.end || p.end > data_size)
      fail("tensor '" + name + "' lies outside the file (" + std::to_string(p.begin) + " to " +
           std::to_string(p.end) + " of " + std::to_string(data_size) + " bytes)");
    const uint64_t room = (p.end - p.begin) / size_of(p.type);
    if (room * size_of(p.type) != p.end - p.begin || uint64_t(numel(p.shape)) != room)
      fail("tensor '" + name + "' of shape " + to_string(p.shape) + " does not fill its " +
           std::to_string(p.end - p.begin) + " bytes");
    return p;
  }

  void check_cover(std::vector<Place>& places, size_t data_size) const {
    std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) {
      return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
    });
    uint64_t at = 0;
    for (const Place& p : places) {
      if (p.begin != at) fail("tensor '" + p.name + "' leaves a gap or overlaps another");
      at = p.end;
    }
    if (at != data_size) fail(std::to_string(data_size - at) + " bytes belong to no tensor");
  }
};

}  // namespace

namespace {

/// Length and header; the elements follow in that order.
template <class Order>
std::string head_of(const TensorFile& file, const Order& order) {
  json header = json::object();
  for (const auto& [key, value] : file.metadata) header[kMetadata][key] = value;
  uint64_t at = 0;
  for (const auto* entry : order) {
    const auto& [name, tensor] = *entry;
    header[name] = {{"dtype", name_in_file(tensor.dtype(), name)},
                    {"shape", tensor.shape()},
                    {"data_offsets", {at, at + tensor.bytes()}}};
    at += tensor.bytes();
  }
  std::string text = header.dump(-1, ' ', false, json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::string head;
  for (size_t i = 0; i < kPrefix; ++i) head += char(uint64_t(text.size()) >> (8 * i));
  return head + text;
}

std::string_view bytes_of(const Tensor& t) {
  return {static_cast<const char*>(t.raw()), t.bytes()};
}

/// A view of the mapped file where its elements may be read as they lie, else a copy.
Tensor tensor_at(const Reader::Place& p, const char* data,
                 const std::shared_ptr<const void>& owner) {
  const bool aligned = reinterpret_cast<uintptr_t>(data) % size_of(p.type) == 0;
  const bool empty = p.begin == p.end;
  if (owner && aligned && !empty && p.type != DType::boolean)
    return Tensor(p.type, p.shape, owner, data);
  Tensor t(p.type, p.shape);
  if (!empty) std::memcpy(t.mutable_raw(), data, t.bytes());
  if (p.type == DType::boolean) {
    // A byte other than 0 and 1 is no bool.
    auto* flags = static_cast<uint8_t*>(t.mutable_raw());
    for (int64_t i = 0; i < t.size(); ++i) flags[i] = flags[i] != 0;
  }
  return t;
}

/// With an `owner` of the bytes, tensors are views of them.
TensorFile decode(std::string_view bytes, const std::string& where,
                  const std::shared_ptr<const void>& owner) {
  const Reader reader{bytes, where};
  std::string_view data;
  const json header = reader.header(data);
  TensorFile file;
  std::vector<Reader::Place> places;
  for (const auto& [name, entry] : header.items()) {
    if (name != kMetadata) {
      places.push_back(reader.place_of(name, entry, data.size()));
      continue;
    }
    if (!entry.is_object()) reader.fail("its metadata is no object");
    for (const auto& [key, value] : entry.items()) {
      if (!value.is_string()) reader.fail("its metadata '" + key + "' is no string");
      file.metadata[key] = value.get<std::string>();
    }
  }
  reader.check_cover(places, data.size());
  for (const auto& p : places)
    file.tensors.emplace(p.name, tensor_at(p, data.data() + p.begin, owner));
  return file;
}

}  // namespace

std::string encode_safetensors(const TensorFile& file) {
  const auto order = in_file_order(file);
  std::string bytes = head_of(file, order);
  for (const auto* entry : order) bytes += bytes_of(entry->second);
  return bytes;
}

TensorFile decode_safetensors(std::string_view bytes, const std::string& where) {
  return decode(bytes, where, nullptr);
}

void save_safetensors(const TensorFile& file, const std::filesystem::path& path) {
  const auto order = in_file_order(file);
  const std::string head = head_of(file, order);
  std::vector<std::string_view> pieces = {head};
  for (const auto* entry : order) pieces.push_back(bytes_of(entry->second));
  write_file_atomic(path, pieces);
}

TensorFile load_safetensors(const std::filesystem::path& path) {
  const auto file = std::make_shared<const MappedFile>(path);
  const std::string_view bytes(reinterpret_cast<const char*>(file->bytes().data()),
                               file->bytes().size());
  return decode(bytes, path.string(), file);
}

uint32_t checksum(const TensorFile& file) {
  uLong crc = crc32(0, nullptr, 0);
  const auto add = [&](const void* data, size_t size) {
    crc = crc32_z(crc, static_cast<const Bytef*>(data), size);
  };
  for (const auto& [name, tensor] : file.tensors) {
    const std::string what =
        name + '\0' + std::string(name_of(tensor.dtype())) + to_string(tensor.shape());
    add(what.data(), what.size());
    if (tensor.bytes() > 0) add(tensor.raw(), tensor.bytes());
  }
  return uint32_t(crc);
}

}  // namespace espalier
