#include "onnx/tensor_proto.h"

#include <google/protobuf/stubs/logging.h>

#include <bit>

#include "base/error.h"
#include "base/files.h"
#include "ir/room.h"
#include "onnx/onnx_proto.h"

namespace espalier {
namespace fs = std::filesystem;
namespace {

static_assert(std::endian::native == std::endian::little, "ONNX stores little-endian bytes");

using Proto = onnx::TensorProto;

// Element types that came after the protobuf definitions built against.
constexpr int32_t kFirstFloat8 = 17, kLastFloat8 = 20, kUint4 = 21, kInt4 = 22, kFloat4 = 23;

/// The extents and how many bytes they need, refused where they overflow or are negative.
Shape extents(const Proto& proto, const std::string& where) {
  Shape shape(proto.dims().begin(), proto.dims().end());
  for (int64_t d : shape)
    if (d < 0) throw bad_input(where, "has the negative dimension " + std::to_string(d));
  try {
    if (numel(shape) > int64_t{1} << 58) throw bad_input("", "");
  } catch (const UserError&) {
    throw bad_input(where, "has more elements than can be counted: " + to_string(shape));
  }
  return shape;
}

[[noreturn]] void wrong_size(const std::string& where, const Shape& shape, DType dtype,
                             int64_t have, const std::string& unit) {
  throw bad_input(where,
                  "is " + std::string(name_of(dtype)) + to_string(shape) + " but holds " +
                      std::to_string(have) + " " + unit,
                  "the file is damaged or was written wrongly");
}

Tensor from_bytes(const Shape& shape, DType dtype, const char* data, size_t size,
                  const std::string& where) {
  const auto needed = size_t(numel(shape)) * size_of(dtype);
  if (size != needed) wrong_size(where, shape, dtype, int64_t(size), "bytes");
  Tensor t(dtype, shape);
  if (dtype == DType::boolean) {
    bool* p = t.mutable_data<bool>();
    for (size_t i = 0; i < size; ++i) p[i] = data[i] != 0;
  } else if (size > 0) {
    std::memcpy(t.mutable_raw(), data, size);
  }
  return t;
}

template <class Field, class Convert>
Tensor from_field(const Shape& shape, DType dtype, const Field& field, const std::string& where,
                  Convert convert) {
  if (numel(shape) != int64_t(field.size()))
    wrong_size(where, shape, dtype, int64_t(field.size()), "elements");
  Tensor t(dtype, shape);
  visit_numeric(dtype, [&](auto zero) {
    using T = decltype(zero);
    T* p = t.mutable_data<T>();
    for (int i = 0; i < field.size(); ++i) p[i] = convert(zero, field.Get(i));
  });
  return t;
}

/// Small element types travel widened in int32_data; 16-bit floats as their bits.
template <class T>
T from_int32(T, int32_t v) {
  if constexpr (std::is_same_v<T, bfloat16> || std::is_same_v<T, float16>) {
    T f;
    f.bits = uint16_t(v);
    return f;
  } else {
    return convert_element<T>(v);
  }
}

Tensor from_typed_fields(const Proto& proto, const Shape& shape, DType dtype,
                         const std::string& where) {
  const auto plain = [](auto zero, auto v) { return convert_element<decltype(zero)>(v); };
  switch (dtype) {
    case DType::f32: return from_field(shape, dtype, proto.float_data(), where, plain);
    case DType::f64: return from_field(shape, dtype, proto.double_data(), where, plain);
    case DType::i64: return from_field(shape, dtype, proto.int64_data(), where, plain);
    case DType::u32:
    case DType::u64: return from_field(shape, dtype, proto.uint64_data(), where, plain);
    case DType::string: break;
    default:
      return from_field(shape, dtype, proto.int32_data(), where,
                        [](auto zero, int32_t v) { return from_int32(zero, v); });
  }
  if (numel(shape) != proto.string_data_size())
    wrong_size(where, shape, dtype, proto.string_data_size(), "elements");
  Tensor t(dtype, shape);
  for (int i = 0; i < proto.string_data_size(); ++i)
    t.mutable_data<std::string>()[i] = proto.string_data(i);
  return t;
}

/// Two elements to a byte, the first in its lower half.
Tensor from_halves(const Shape& shape, bool is_signed, std::string_view bytes,
                   const std::string& where) {
  const int64_t count = numel(shape);
  if (int64_t(bytes.size()) != (count + 1) / 2)
    throw bad_input(where,
                    "is " + std::string(is_signed ? "int4" : "uint4") + to_string(shape) +
                        " but holds " + std::to_string(bytes.size()) + " bytes",
                    "the file is damaged or was written wrongly");
  Tensor t(is_signed ? DType::i8 : DType::u8, shape);
  for (int64_t i = 0; i < count; ++i) {
    const int half = uint8_t(bytes[size_t(i / 2)]) >> (i % 2 * 4) & 15;
    if (is_signed)
      t.mutable_data<int8_t>()[i] = int8_t(half < 8 ? half : half - 16);
    else
      t.mutable_data<uint8_t>()[i] = uint8_t(half);
  }
  return t;
}

struct Slice {
  std::string location;
  int64_t offset = 0;
  int64_t length = -1;
};

int64_t decimal(const std::string& text, const std::string& where, const std::string& key) {
  size_t used = 0;
  int64_t v = -1;
  try {
    v = std::stoll(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  if (used == 0 || used != text.size() || v < 0)
    throw bad_input(where, "its external data has the " + key + " '" + text + "'");
  return v;
}

Slice slice_of(const Proto& proto, const std::string& where) {
  Slice slice;
  for (const auto& entry : proto.external_data()) {
    if (entry.key() == "location") slice.location = entry.value();
    if (entry.key() == "offset") slice.offset = decimal(entry.value(), where, "offset");
    if (entry.key() == "length") slice.length = decimal(entry.value(), where, "length");
  }
  if (slice.location.empty()) throw bad_input(where, "its external data names no file");
  return slice;
}

struct Outside {
  std::shared_ptr<const MappedFile> file;
  const char* data;
};

/// The `needed` bytes of a tensor of that type that lie in another file.
Outside external_bytes(const Proto& proto, size_t needed, const std::string& where,
                       ExternalData* external) {
  const Slice slice = slice_of(proto, where);
  if (!external) throw unsupported(where, "external data has no place here");
  const auto file = external->open(slice.location, where);
  const auto bytes = file->bytes();
  if (slice.length >= 0 && size_t(slice.length) != needed)
    throw bad_input(where,
                    "needs " + std::to_string(needed) + " bytes but holds " +
                        std::to_string(slice.length) + " bytes of external data",
                    "the file is damaged or was written wrongly");
  if (size_t(slice.offset) > bytes.size() || needed > bytes.size() - size_t(slice.offset))
    throw bad_input(where,
                    "needs bytes " + std::to_string(slice.offset) + " to " +
                        std::to_string(size_t(slice.offset) + needed) + " of " + slice.location +
                        ", which has " + std::to_string(bytes.size()),
                    "the data file is truncated or belongs to another model");
  return {file, reinterpret_cast<const char*>(bytes.data()) + slice.offset};
}

Tensor from_external(const Proto& proto, const Shape& shape, DType dtype, const std::string& where,
                     ExternalData* external) {
  if (dtype == DType::string) throw bad_input(where, "strings cannot be external data");
  const auto needed = size_t(numel(shape)) * size_of(dtype);
  const auto [file, data] = external_bytes(proto, needed, where, external);
  const bool aligned = reinterpret_cast<uintptr_t>(data) % size_of(dtype) == 0;
  if (needed == 0 || !aligned || dtype == DType::boolean)
    return from_bytes(shape, dtype, data, needed, where);
  return Tensor(dtype, shape, file, data);
}

Tensor four_bit_tensor(const Proto& proto, const Shape& shape, const std::string& where,
                       ExternalData* external) {
  const bool is_signed = proto.data_type() == kInt4;
  const auto needed = size_t((numel(shape) + 1) / 2);
  if (proto.data_location() == Proto::EXTERNAL) {
    const Outside at = external_bytes(proto, needed, where, external);
    return from_halves(shape, is_signed, {at.data, needed}, where);
  }
  if (proto.has_raw_data()) return from_halves(shape, is_signed, proto.raw_data(), where);
  std::string bytes;
  for (int32_t v : proto.int32_data()) bytes += char(v);
  return from_halves(shape, is_signed, bytes, where);
}

}  // namespace

std::shared_ptr<const MappedFile> ExternalData::open(const std::string& location,
                                                     const std::string& where) {
  if (const auto it = open_.find(location); it != open_.end()) return it->second;
  std::error_code ignored;
  const fs::path folder = fs::weakly_canonical(folder_.empty() ? "." : folder_, ignored);
  const fs::path path = fs::weakly_canonical(folder / location, ignored);
  const fs::path inside = path.lexically_relative(folder);
  if (fs::path(location).is_absolute() || inside.empty() || *inside.begin() == "..")
    throw bad_input(where, "its external data '" + location + "' lies outside the model's folder",
                    "keep data files beside the model");
  if (!fs::is_regular_file(path, ignored))
    throw bad_input(where, "its external data file '" + location + "' is missing",
                    "it belongs beside the model, in " + folder.string());
  auto file = std::make_shared<const MappedFile>(path);
  open_.emplace(location, file);
  return file;
}

DType element_type(int32_t number, const std::string& where) {
  switch (number) {
    case Proto::COMPLEX64:
    case Proto::COMPLEX128: throw unsupported(where, "complex numbers are not supported");
    case Proto::UNDEFINED: throw bad_input(where, "has no element type");
    case kUint4: return DType::u8;
    case kInt4: return DType::i8;
    case kFloat4: throw unsupported(where, "4-bit floats are not supported");
    default: break;
  }
  if (number >= kFirstFloat8 && number <= kLastFloat8)
    throw unsupported(where, "8-bit floats are not supported", "export in float16 or bfloat16");
  if (number > Proto::BFLOAT16)
    throw unsupported(where, "element type " + std::to_string(number) + " is not supported");
  return detail::dtype_from_onnx_number(number, where);
}

bool has_four_bits(int32_t number) { return number == kUint4 || number == kInt4; }

Tensor decode_tensor(const Proto& proto, const std::string& where, ExternalData* external) {
  const DType dtype = element_type(proto.data_type(), where);
  const Shape shape = extents(proto, where);
  if (proto.has_segment()) throw unsupported(where, "is stored in segments");
  if (has_four_bits(proto.data_type())) return four_bit_tensor(proto, shape, where, external);
  if (proto.data_location() == Proto::EXTERNAL)
    return from_external(proto, shape, dtype, where, external);
  if (!proto.has_raw_data()) return from_typed_fields(proto, shape, dtype, where);
  if (dtype == DType::string) throw bad_input(where, "strings cannot be raw bytes");
  return from_bytes(shape, dtype, proto.raw_data().data(), proto.raw_data().size(), where);
}

TakenBytes take_bytes(onnx::GraphProto& graph) {
  constexpr size_t kLarge = 4096;
  TakenBytes taken;
  for (Proto& t : *graph.mutable_initializer()) {
    if (t.raw_data().size() < kLarge || has_four_bits(t.data_type()) ||
        t.data_type() == Proto::BOOL || t.data_type() == Proto::STRING)
      continue;
    taken[&t] = std::make_shared<const std::string>(std::move(*t.mutable_raw_data()));
  }
  return taken;
}

Tensor decode_tensor(const Proto& proto, const std::string& where, ExternalData* external,
                     const TakenBytes& taken) {
  const auto found = taken.find(&proto);
  if (found == taken.end() || proto.has_segment() || proto.data_location() == Proto::EXTERNAL)
    return decode_tensor(proto, where, external);
  const DType dtype = element_type(proto.data_type(), where);
  const Shape shape = extents(proto, where);
  const auto& bytes = found->second;
  const size_t needed = size_t(numel(shape)) * size_of(dtype);
  if (bytes->size() != needed) wrong_size(where, shape, dtype, int64_t(bytes->size()), "bytes");
  return Tensor(dtype, shape, bytes, bytes->data());
}

void encode_tensor(const Tensor& tensor, const std::string& name, Proto& proto) {
  proto.set_name(name);
  proto.set_data_type(int32_t(detail::onnx_number(tensor.dtype())));
  for (int64_t d : tensor.shape()) proto.add_dims(d);
  if (tensor.dtype() == DType::string) {
    for (const auto& s : tensor.span<std::string>()) proto.add_string_data(s);
    return;
  }
  proto.set_raw_data(tensor.bytes() ? tensor.raw() : "", tensor.bytes());
}

Tensor read_tensor_proto(const fs::path& path) {
  const std::string bytes = read_file(path);
  google::protobuf::LogSilencer silence;
  Proto proto;
  if (!proto.ParseFromString(bytes))
    throw bad_input(path.string(), "is not a serialised ONNX tensor",
                    "files of test vectors are named input_N.pb and output_N.pb");
  ExternalData external(path.parent_path());
  return decode_tensor(proto, path.string(), &external);
}

std::string tensor_proto_bytes(const Tensor& tensor, const std::string& name) {
  Proto proto;
  encode_tensor(tensor, name, proto);
  return proto.SerializeAsString();
}

}  // namespace espalier
