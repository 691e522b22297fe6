#include "tflite/model.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace espalier::tflite {
namespace {

constexpr std::string_view kIdentifier = "TFL3";
constexpr uint32_t kSchemaVersion = 3;
constexpr size_t kMostAxes = 8;
constexpr int kInt4 = 17;

// Fields of the format's tables, by number.
namespace model {
enum { kVersion, kOperatorCodes, kSubgraphs, kDescription, kBuffers };
}
namespace operator_code {
enum { kOldCode, kCustom, kVersion, kCode };
}
namespace subgraph {
enum { kTensors, kInputs, kOutputs, kOperators, kName };
}
namespace tensor {
enum { kShape, kType, kBuffer, kName, kQuantization, kVariable, kSparsity, kSignature };
}
namespace quantization {
enum { kMin, kMax, kScale, kZeroPoint, kDetailsType, kDetails, kAxis };
}
namespace op {
enum { kCode, kInputs, kOutputs, kOptionsType, kOptions };
}
namespace buffer {
enum { kData, kOffset, kSize };
}

/// The tensor's name in messages.
std::string label(const FlatBuffer& file, const std::string& name, size_t index) {
  const std::string tensor = name.empty() ? std::to_string(index) : "'" + name + "'";
  return file.where() + ": tensor " + tensor;
}

/// Two's complement nibbles, the low one first.
Tensor from_nibbles(const Shape& shape, std::string_view data) {
  Tensor t(DType::i8, shape);
  for (int64_t i = 0; i < t.size(); ++i) {
    const auto byte = uint8_t(data[size_t(i / 2)]);
    const auto nibble = int8_t((i % 2 == 0 ? byte : byte >> 4) & 15);
    t.mutable_data<int8_t>()[i] = int8_t(nibble >= 8 ? nibble - 16 : nibble);
  }
  return t;
}

Tensor constant_of(const TensorInfo& t, std::string_view data, const std::string& where) {
  const DType dtype = element_type(t.type, where);
  if (dtype == DType::string) throw unsupported(where, "holds strings");
  const auto count = uint64_t(numel(t.shape));
  const uint64_t needed = t.type == kInt4 ? (count + 1) / 2 : count * size_of(dtype);
  if (count > std::numeric_limits<uint64_t>::max() / 16 || data.size() != needed)
    throw bad_input(where,
                    "is " + std::string(name_of(dtype)) + to_string(t.shape) + " but holds " +
                        std::to_string(data.size()) + " bytes",
                    "the file is damaged or was written wrongly");
  if (t.type == kInt4) return from_nibbles(t.shape, data);
  Tensor c(dtype, t.shape);
  if (dtype == DType::boolean) {
    for (size_t i = 0; i < data.size(); ++i) c.mutable_data<bool>()[i] = data[i] != 0;
  } else if (!data.empty()) {
    std::memcpy(c.mutable_raw(), data.data(), data.size());
  }
  return c;
}

class Reader {
 public:
  explicit Reader(const FlatBuffer& file) : file_(file) {}

  ModelInfo read() {
    check_identity();
    const FlatTable root = FlatTable::root(file_);
    if (const auto version = root.scalar<uint32_t>(model::kVersion, 0); version != kSchemaVersion)
      throw unsupported(file_.where(), "is written in schema version " + std::to_string(version) +
                                           ", version " + std::to_string(kSchemaVersion) +
                                           " is understood");
    const auto subgraphs = root.tables(model::kSubgraphs);
    if (subgraphs.empty())
      throw bad_input(file_.where(), "holds no graph", "is it a whole TFLite file?");
    buffers_ = root.tables(model::kBuffers);
    m_.description = root.string(model::kDescription);
    m_.name = subgraphs[0].string(subgraph::kName);
    read_tensors(subgraphs[0].tables(subgraph::kTensors));
    m_.inputs = tensor_list(subgraphs[0], subgraph::kInputs, "the graph's inputs", false);
    m_.outputs = tensor_list(subgraphs[0], subgraph::kOutputs, "the graph's outputs", false);
    if (m_.outputs.empty()) throw bad_input(file_.where(), "its graph has no outputs");
    read_operators(root.tables(model::kOperatorCodes), subgraphs[0].tables(subgraph::kOperators));
    return std::move(m_);
  }

 private:
  void check_identity() const {
    const std::string_view bytes = file_.bytes();
    if (bytes.size() < 8 || bytes.substr(4, 4) != kIdentifier)
      throw bad_input(file_.where(), "is no TFLite file: it does not begin as one",
                      "TFLite files hold TFL3 in bytes 4 to 7");
  }

  void read_tensors(const std::vector<FlatTable>& tables) {
    m_.tensors.reserve(tables.size());
    for (const FlatTable& t : tables) m_.tensors.push_back(read_tensor(t));
  }

  TensorInfo read_tensor(const FlatTable& table) {
    TensorInfo t;
    t.name = table.string(tensor::kName);
    const std::string where = label(file_, t.name, m_.tensors.size());
    t.type = table.scalar<int8_t>(tensor::kType, 0);
    t.shape = extents(table.list<int32_t>(tensor::kShape), where);
    for (int32_t d : table.list<int32_t>(tensor::kSignature)) t.signature.push_back(d);
    if (t.signature.size() != t.shape.size()) t.signature.clear();
    t.variable = table.boolean(tensor::kVariable);
    t.sparse = table.has(tensor::kSparsity);
    t.quantization = read_quantization(table.table(tensor::kQuantization), t, where);
    const std::string_view data = buffer_data(table.scalar<uint32_t>(tensor::kBuffer, 0), where);
    file_.spend(data.size());
    if (!data.empty() && !t.sparse) t.constant = constant_of(t, data, where);
    return t;
  }

  Shape extents(const std::vector<int32_t>& given, const std::string& where) const {
    Shape shape(given.begin(), given.end());
    if (shape.size() > kMostAxes)
      throw bad_input(where, "has " + std::to_string(shape.size()) + " axes");
    for (int64_t d : shape)
      if (d < 0) throw bad_input(where, "has the negative extent " + std::to_string(d));
    try {
      numel(shape);
    } catch (const UserError&) {
      throw bad_input(where, "has more elements than can be counted: " + to_string(shape));
    }
    return shape;
  }

  std::optional<Quantization> read_quantization(const FlatTable& table, const TensorInfo& t,
                                                const std::string& where) const {
    if (!table.exists()) return std::nullopt;
    Quantization q;
    q.scales = table.list<float>(quantization::kScale);
    q.zero_points = table.list<int64_t>(quantization::kZeroPoint);
    q.axis = table.scalar<int32_t>(quantization::kAxis, 0);
    if (q.scales.empty()) return std::nullopt;
    if (q.zero_points.empty()) q.zero_points.assign(q.scales.size(), 0);
    if (q.zero_points.size() == 1) q.zero_points.assign(q.scales.size(), q.zero_points[0]);
    if (q.zero_points.size() != q.scales.size())
      throw bad_input(where, "has " + std::to_string(q.scales.size()) + " scales and " +
                                 std::to_string(q.zero_points.size()) + " zero points");
    for (int64_t z : q.zero_points)
      if (z != int32_t(z)) throw bad_input(where, "has the zero point " + std::to_string(z));
    for (float s : q.scales)
      if (!(s > 0) || !std::isfinite(s))
        throw bad_input(where, "has a scale that is no positive number");
    if (q.scales.size() == 1) {
      q.axis = 0;
    } else if (q.axis < 0 || q.axis >= int64_t(t.shape.size()) ||
               t.shape[size_t(q.axis)] != int64_t(q.scales.size())) {
      throw bad_input(where, "is " + to_string(t.shape) + " and has " +
                                 std::to_string(q.scales.size()) + " scales along axis " +
                                 std::to_string(q.axis));
    }
    return q;
  }

  std::string_view buffer_data(uint32_t index, const std::string& where) const {
    if (index >= buffers_.size()) {
      if (index == 0) return {};
      throw bad_input(where, "lies in buffer " + std::to_string(index) + ", the file has " +
                                 std::to_string(buffers_.size()));
    }
    const FlatTable& b = buffers_[index];
    // Files beyond 2 GB keep data behind the FlatBuffer.
    const auto offset = b.scalar<uint64_t>(buffer::kOffset, 0);
    if (offset > 1) return file_.take(offset, b.scalar<uint64_t>(buffer::kSize, 0));
    return b.bytes(buffer::kData);
  }

  std::vector<int32_t> tensor_list(const FlatTable& table, int field, const std::string& what,
                                   bool optional) const {
    auto list = table.list<int32_t>(field);
    for (int32_t t : list)
      if (t < (optional ? -1 : 0) || t >= int64_t(m_.tensors.size()))
        throw bad_input(file_.where(), what + " name tensor " + std::to_string(t) +
                                           ", the file has " + std::to_string(m_.tensors.size()));
    return list;
  }

  void read_operators(const std::vector<FlatTable>& codes, const std::vector<FlatTable>& tables) {
    for (size_t i = 0; i < tables.size(); ++i) {
      const std::string what = "operator " + std::to_string(i);
      const auto index = tables[i].scalar<uint32_t>(op::kCode, 0);
      if (index >= codes.size())
        throw bad_input(file_.where(), what + " is of kind " + std::to_string(index) +
                                           ", the file has " + std::to_string(codes.size()));
      OperatorInfo o;
      // Codes began as bytes; newer ones have a field of their own.
      o.code = std::max<int>(codes[index].scalar<int8_t>(operator_code::kOldCode, 0),
                             codes[index].scalar<int32_t>(operator_code::kCode, 0));
      o.custom = codes[index].string(operator_code::kCustom);
      o.options = tables[i].table(op::kOptions);
      o.inputs = tensor_list(tables[i], op::kInputs, "the operands of " + what, true);
      o.outputs = tensor_list(tables[i], op::kOutputs, "the results of " + what, false);
      m_.operators.push_back(std::move(o));
    }
  }

  const FlatBuffer& file_;
  ModelInfo m_;
  std::vector<FlatTable> buffers_;
};

}  // namespace

ModelInfo read_model(const FlatBuffer& file) { return Reader(file).read(); }

DType element_type(int number, const std::string& where) {
  switch (number) {
    case 0: return DType::f32;
    case 1: return DType::f16;
    case 2: return DType::i32;
    case 3: return DType::u8;
    case 4: return DType::i64;
    case 5: return DType::string;
    case 6: return DType::boolean;
    case 7: return DType::i16;
    case 9: return DType::i8;
    case 10: return DType::f64;
    case 12: return DType::u64;
    case 15: return DType::u32;
    case 16: return DType::u16;
    case kInt4: return DType::i8;
    case 18: return DType::bf16;
    case 8:
    case 11: throw unsupported(where, "complex numbers are not supported");
    case 13:
    case 14: throw unsupported(where, "resources and variants are not supported");
    default: throw unsupported(where, "element type " + std::to_string(number) + " is not known");
  }
}

}  // namespace espalier::tflite
