#include "formats/npy.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "base/files.h"
#include "formats/byte_reader.h"
#include "formats/zip.h"

namespace espalier {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kAlign = 64;

struct TypeName {
  std::string_view npy;  // without the byte order mark
  DType type;
};
constexpr std::array<TypeName, 12> kTypes = {{{"f8", DType::f64},
                                              {"f4", DType::f32},
                                              {"f2", DType::f16},
                                              {"i8", DType::i64},
                                              {"i4", DType::i32},
                                              {"i2", DType::i16},
                                              {"i1", DType::i8},
                                              {"u8", DType::u64},
                                              {"u4", DType::u32},
                                              {"u2", DType::u16},
                                              {"u1", DType::u8},
                                              {"b1", DType::boolean}}};

struct Header {
  std::optional<std::string> descr;
  std::optional<bool> fortran;
  std::optional<Shape> shape;
};

/// Reads the header's Python dictionary literal: quoted keys, a string, a bool and a tuple.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  Header parse() {
    Header header;
    expect('{');
    while (!accept('}')) {
      const std::string key = quoted();
      expect(':');
      if (key == "descr") {
        header.descr = description();
      } else if (key == "fortran_order") {
        header.fortran = boolean();
      } else if (key == "shape") {
        header.shape = tuple();
      } else {
        fail("unknown key '" + key + "'");
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    if (at_ != text_.size()) fail("text after the dictionary");
    return header;
  }

 private:
  [[noreturn]] void fail(const std::string& why) const {
    throw bad_input(where_,
                    "has a malformed NPY header: " + why + " at character " + std::to_string(at_));
  }
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t'))
      ++at_;
  }
  bool accept(char c) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail(std::string("expected '") + c + "'");
  }
  std::string quoted() {
    skip_space();
    if (at_ >= text_.size() || (text_[at_] != '\'' && text_[at_] != '"')) fail("expected a string");
    const size_t end = text_.find(text_[at_], at_ + 1);
    if (end == text_.npos) fail("unterminated string");
    std::string value(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return value;
  }
  std::string description() {
    skip_space();
    if (at_ < text_.size() && text_[at_] == '[')
      throw unsupported(where_, "holds records (a structured NPY type)",
                        "save each field as an array of its own");
    return quoted();
  }
  bool boolean() {
    skip_space();
    for (const auto& [word, value] : {std::pair{"True", true}, std::pair{"False", false}}) {
      if (text_.substr(at_).starts_with(word)) {
        at_ += std::string_view(word).size();
        return value;
      }
    }
    fail("expected True or False");
  }
  Shape tuple() {
    Shape shape;
    expect('(');
    while (!accept(')')) {
      skip_space();
      int64_t extent = 0;
      const auto [end, error] =
          std::from_chars(text_.data() + at_, text_.data() + text_.size(), extent);
      if (error != std::errc() || extent < 0) fail("expected an extent");
      at_ = size_t(end - text_.data());
      if (at_ < text_.size() && text_[at_] == 'L') ++at_;  // Python 2 wrote 3L
      shape.push_back(extent);
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return shape;
  }

  std::string_view text_;
  const std::string& where_;
  size_t at_ = 0;
};

struct Element {
  DType type;
  bool swapped;
};

Element element_of(const std::string& descr, const std::string& where) {
  const char order = descr.empty() ? '?' : descr[0];
  const std::string_view name = std::string_view(descr).substr(std::min<size_t>(1, descr.size()));
  if (order == '<' || order == '>' || order == '|' || order == '=')
    for (const TypeName& t : kTypes)
      if (t.npy == name) {
        const bool big = order == '>';
        return {t.type,
                big != (std::endian::native == std::endian::big) && order != '|' && order != '='};
      }
  throw unsupported(where, "holds elements of NPY type '" + descr + "'",
                    "convert to a float, integer or bool array before saving");
}

/// Calls move(row_major, column_major) for each element's two places.
template <class F>
void for_each_fortran(const Shape& shape, F&& move) {
  const int64_t n = numel(shape);
  std::vector<int64_t> index(shape.size(), 0);
  const auto strides = strides_of(shape);
  int64_t row_major = 0;
  for (int64_t column_major = 0; column_major < n; ++column_major) {
    move(size_t(row_major), size_t(column_major));
    for (size_t axis = 0; axis < shape.size(); ++axis) {
      row_major += strides[axis];
      if (++index[axis] < shape[axis]) break;
      row_major -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
}

Tensor row_major_from_fortran(const Tensor& fortran) {
  Tensor tensor(fortran.dtype(), fortran.shape());
  const size_t width = size_of(tensor.dtype());
  const char* in = static_cast<const char*>(fortran.raw());
  char* out = static_cast<char*>(tensor.mutable_raw());
  for_each_fortran(tensor.shape(), [&](size_t row_major, size_t column_major) {
    std::memcpy(out + row_major * width, in + column_major * width, width);
  });
  return tensor;
}

}  // namespace

Tensor read_npy(std::string_view bytes, const std::string& where) {
  ByteReader in(bytes, where);
  if (in.take(kMagic.size(), "the NPY magic") != kMagic)
    throw bad_input(where, "is not an NPY file");
  const auto major = in.little<uint8_t>("the version");
  in.little<uint8_t>("the version");
  if (major < 1 || major > 3)
    throw unsupported(where, "has NPY version " + std::to_string(major), "1 to 3 are known");
  const size_t length = major == 1 ? in.little<uint16_t>("the header length")
                                   : in.little<uint32_t>("the header length");
  const Header header = HeaderParser(in.take(length, "the header"), where).parse();
  if (!header.descr || !header.fortran || !header.shape)
    throw bad_input(where, "has an NPY header without descr, fortran_order or shape");

  const Element element = element_of(*header.descr, where);
  Tensor tensor = read_array(in, element.type, *header.shape);
  if (*header.fortran && tensor.rank() > 1) tensor = row_major_from_fortran(tensor);
  char* out = static_cast<char*>(tensor.mutable_raw());
  const auto count = size_t(tensor.size());
  if (element.swapped) reverse_elements(out, count, size_of(element.type));
  if (element.type == DType::boolean)
    for (size_t i = 0; i < count; ++i) out[i] = out[i] != 0;
  return tensor;
}

std::string write_npy(const Tensor& tensor, NpyOrder order) {
  const auto* found = std::find_if(kTypes.begin(), kTypes.end(),
                                   [&](const TypeName& t) { return t.type == tensor.dtype(); });
  if (found == kTypes.end())
    throw unsupported("NPY", "has no name for element type " + std::string(name_of(tensor.dtype())),
                      tensor.dtype() == DType::bf16 ? "cast to f32 first" : "");
  const size_t width = size_of(tensor.dtype());
  const char mark = width == 1 ? '|' : std::endian::native == std::endian::little ? '<' : '>';
  std::string shape = "(";
  for (int64_t d : tensor.shape()) shape += std::to_string(d) + ", ";
  if (tensor.rank() > 1) shape.resize(shape.size() - 2);
  if (tensor.rank() == 1) shape.resize(shape.size() - 1);
  const bool fortran = order == NpyOrder::fortran && tensor.rank() > 1;
  std::string dictionary = "{'descr': '";
  dictionary += mark;
  dictionary += found->npy;
  dictionary += std::string("', 'fortran_order': ") + (fortran ? "True" : "False");
  dictionary += ", 'shape': " + shape + "), }";
  const size_t prefix = kMagic.size() + 4;
  dictionary.append(kAlign - (prefix + dictionary.size() + 1) % kAlign, ' ');
  dictionary += '\n';
  if (dictionary.size() > 0xFFFF)
    throw unsupported("NPY", "rank " + std::to_string(tensor.rank()) + " does not fit a header");

  std::string out(kMagic);
  out += {'\1', '\0', char(dictionary.size() & 0xFF), char(dictionary.size() >> 8)};
  out += dictionary;
  const char* data = static_cast<const char*>(tensor.raw());
  if (!fortran) return out.append(data, tensor.bytes());
  const size_t start = out.size();
  out.resize(start + tensor.bytes());
  for_each_fortran(tensor.shape(), [&](size_t row_major, size_t column_major) {
    std::memcpy(out.data() + start + column_major * width, data + row_major * width, width);
  });
  return out;
}

Tensor load_npy(const std::filesystem::path& path) {
  return read_npy(read_file(path), path.string());
}

void save_npy(const std::filesystem::path& path, const Tensor& tensor) {
  write_file_atomic(path, write_npy(tensor));
}

std::vector<NamedTensor> read_npz(std::string_view bytes, const std::string& where) {
  const ZipArchive archive(bytes, where);
  std::vector<NamedTensor> tensors;
  for (size_t i = 0; i < archive.names().size(); ++i) {
    const std::string& name = archive.names()[i];
    if (!name.ends_with(".npy"))
      throw bad_input(where, "has a member '" + name + "' that is not an NPY file");
    tensors.push_back(
        {name.substr(0, name.size() - 4), read_npy(archive.read(i), where + ": " + name)});
  }
  return tensors;
}

std::string write_npz(const std::vector<NamedTensor>& tensors) {
  std::vector<ZipEntry> entries;
  for (const NamedTensor& t : tensors) entries.push_back({t.name + ".npy", write_npy(t.tensor)});
  return write_zip(entries);
}

std::vector<NamedTensor> load_npz(const std::filesystem::path& path) {
  return read_npz(read_file(path), path.string());
}

void save_npz(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors) {
  write_file_atomic(path, write_npz(tensors));
}

}  // namespace espalier
