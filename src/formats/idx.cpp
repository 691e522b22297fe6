#include "formats/idx.h"

#include <algorithm>
#include <array>

#include "base/files.h"
#include "formats/byte_reader.h"
#include "formats/gzip.h"

namespace espalier {
namespace {

struct TypeCode {
  uint8_t code;
  DType type;
};
constexpr std::array<TypeCode, 6> kTypes = {{{0x08, DType::u8},
                                             {0x09, DType::i8},
                                             {0x0B, DType::i16},
                                             {0x0C, DType::i32},
                                             {0x0D, DType::f32},
                                             {0x0E, DType::f64}}};
constexpr bool kSwap = std::endian::native == std::endian::little;

}  // namespace

Tensor read_idx(std::string_view bytes, const std::string& where) {
  ByteReader in(bytes, where);
  const auto zeros = in.big<uint16_t>("the magic number");
  const auto code = in.big<uint8_t>("the element type");
  const auto rank = in.big<uint8_t>("the rank");
  const auto* found =
      std::find_if(kTypes.begin(), kTypes.end(), [&](const TypeCode& t) { return t.code == code; });
  if (zeros != 0 || found == kTypes.end()) throw bad_input(where, "is not an IDX file");
  Shape shape;
  for (int axis = 0; axis < rank; ++axis) shape.push_back(in.big<uint32_t>("an extent"));

  Tensor tensor = read_array(in, found->type, shape);
  if (kSwap)
    reverse_elements(static_cast<char*>(tensor.mutable_raw()), size_t(tensor.size()),
                     size_of(found->type));
  return tensor;
}

std::string write_idx(const Tensor& tensor) {
  const auto* found = std::find_if(kTypes.begin(), kTypes.end(),
                                   [&](const TypeCode& t) { return t.type == tensor.dtype(); });
  if (found == kTypes.end())
    throw unsupported("IDX", "has no element type " + std::string(name_of(tensor.dtype())),
                      "u8, i8, i16, i32, f32 and f64 can be written");
  if (tensor.rank() > 255) throw unsupported("IDX", "holds at most 255 axes");
  std::string out = {'\0', '\0', char(found->code), char(tensor.rank())};
  for (int64_t extent : tensor.shape()) {
    if (extent > int64_t{0xFFFFFFFF})
      throw unsupported("IDX", "holds at most 4294967295 entries along an axis");
    for (int shift = 24; shift >= 0; shift -= 8) out += char(extent >> shift);
  }
  const size_t start = out.size();
  out.append(static_cast<const char*>(tensor.raw()), tensor.bytes());
  if (kSwap) reverse_elements(out.data() + start, size_t(tensor.size()), size_of(tensor.dtype()));
  return out;
}

Tensor load_idx(const std::filesystem::path& path) {
  return read_idx(read_file_gunzipped(path), path.string());
}

void save_idx(const std::filesystem::path& path, const Tensor& tensor) {
  const std::string bytes = write_idx(tensor);
  write_file_atomic(path, path.extension() == ".gz" ? gzip(bytes) : bytes);
}

}  // namespace espalier
