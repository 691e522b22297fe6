#include "tests/tflite/models.h"

#include "ir/interpret.h"
#include "ir/room.h"
#include "ir/verify.h"
#include "tflite/import.h"

namespace espalier::testing {
namespace {

template <class T>
std::string as_bytes(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(T));
}

int type_number(DType d) {
  switch (d) {
    case DType::f16: return kF16;
    case DType::i32: return kI32;
    case DType::u8: return kU8;
    case DType::i64: return kI64;
    case DType::boolean: return kBool;
    case DType::i16: return kI16;
    case DType::i8: return kI8;
    default: return kF32;
  }
}

}  // namespace

FlatWriter::FlatWriter() : bytes(8, '\0') {}

void FlatWriter::align(size_t to) { bytes.resize((bytes.size() + to - 1) / to * to, '\0'); }

void FlatWriter::patch(size_t at, size_t target) {
  bytes.replace(at, 4, as_bytes(uint32_t(target - at)));
}

size_t FlatWriter::table(const std::vector<Field>& fields) {
  std::string body(4, '\0'), vtable;
  std::vector<std::pair<size_t, const Child*>> children;
  for (const Field& field : fields) {
    if (std::holds_alternative<std::monostate>(field)) {
      vtable += as_bytes(uint16_t{0});
      continue;
    }
    const bool wide =
        std::holds_alternative<int64_t>(field) || std::holds_alternative<uint64_t>(field);
    body.resize((body.size() + 3) / 4 * 4, '\0');
    vtable += as_bytes(uint16_t(body.size()));
    std::visit(
        [&](const auto& v) {
          using T = std::decay_t<decltype(v)>;
          if constexpr (std::is_same_v<T, Child>) {
            children.emplace_back(body.size(), &v);
            body += std::string(4, '\0');
          } else if constexpr (!std::is_same_v<T, std::monostate>) {
            body += as_bytes(v);
          }
        },
        field);
    (void)wide;
  }
  align(4);
  const size_t start = bytes.size();
  bytes += as_bytes(uint16_t(4 + vtable.size())) + as_bytes(uint16_t(body.size())) + vtable;
  align(4);
  const size_t at = bytes.size();
  body.replace(0, 4, as_bytes(int32_t(at - start)));
  bytes += body;
  for (const auto& [offset, child] : children) patch(at + offset, (*child)());
  return at;
}

FlatWriter::Child FlatWriter::string(const std::string& text) { return raw(text, text.size()); }

FlatWriter::Child FlatWriter::raw(const std::string& data, size_t count) {
  return [this, data, count] {
    align(4);
    const size_t at = bytes.size();
    bytes += as_bytes(uint32_t(count)) + data + '\0';
    return at;
  };
}

FlatWriter::Child FlatWriter::tables(const std::vector<Child>& items) {
  return [this, items] {
    align(4);
    const size_t at = bytes.size();
    bytes += as_bytes(uint32_t(items.size())) + std::string(4 * items.size(), '\0');
    for (size_t i = 0; i < items.size(); ++i) patch(at + 4 + 4 * i, items[i]());
    return at;
  };
}

std::string FlatWriter::finish(const Child& root, const std::string& identifier) {
  bytes.replace(4, 4, identifier);
  patch(0, root());
  return bytes;
}

std::string bytes_of(const Tensor& t) {
  return std::string(static_cast<const char*>(t.raw()), t.bytes());
}

int32_t TfModel::tensor(TfTensor t) {
  tensors_.push_back(std::move(t));
  return int32_t(tensors_.size()) - 1;
}

int32_t TfModel::input(TfTensor t) {
  inputs_.push_back(tensor(std::move(t)));
  return inputs_.back();
}

int32_t TfModel::constant(const std::string& name, const Tensor& value) {
  return constant(name, value, {}, {});
}

int32_t TfModel::constant(const std::string& name, const Tensor& value, std::vector<float> scales,
                          std::vector<int64_t> zero_points, int32_t axis) {
  return tensor({name,
                 type_number(value.dtype()),
                 std::vector<int32_t>(value.shape().begin(), value.shape().end()),
                 bytes_of(value),
                 std::move(scales),
                 std::move(zero_points),
                 axis,
                 {}});
}

int32_t TfModel::ints(const std::vector<int32_t>& values) {
  return constant("", Tensor::from<int32_t>({int64_t(values.size())}, std::span(values)));
}

int32_t TfModel::op(int code, std::vector<int32_t> inputs, TfTensor result,
                    std::vector<FlatWriter::Field> options) {
  const int32_t y = tensor(std::move(result));
  operators_.push_back({code, std::move(inputs), {y}, std::move(options), {}});
  return y;
}

TfModel& TfModel::output(int32_t t) {
  outputs_.push_back(t);
  return *this;
}

std::string TfModel::bytes(uint32_t version) const {
  FlatWriter w;
  using Child = FlatWriter::Child;
  using Field = FlatWriter::Field;
  std::vector<Child> tensors, operators, codes;
  std::vector<Child> buffers = {[&] { return w.table({}); }};
  for (const TfTensor& t : tensors_) {
    uint32_t buffer = 0;
    if (!t.data.empty()) {
      buffer = uint32_t(buffers.size());
      buffers.push_back([&w, &t] { return w.table({w.raw(t.data, t.data.size())}); });
    }
    Field quantization;
    if (!t.scales.empty())
      quantization = Child([&w, &t] {
        return w.table(
            {Field(), Field(), w.list(t.scales), w.list(t.zero_points), Field(), Field(), t.axis});
      });
    tensors.push_back([&w, &t, buffer, quantization] {
      return w.table({w.list(t.shape), int8_t(t.type), buffer, w.string(t.name), quantization,
                      Field(), Field(), t.signature.empty() ? Field() : w.list(t.signature)});
    });
  }
  for (const TfOperator& o : operators_) {
    codes.push_back([&w, &o] {
      return w.table({int8_t(std::min(o.code, 127)),
                      o.custom.empty() ? Field() : w.string(o.custom), int32_t{1},
                      int32_t(o.code)});
    });
    const auto index = uint32_t(codes.size() - 1);
    operators.push_back([&w, &o, index] {
      return w.table({index, w.list(o.inputs), w.list(o.outputs), int8_t{1},
                      Child([&w, &o] { return w.table(o.options); })});
    });
  }
  const Child subgraph = [&] {
    return w.table({w.tables(tensors), w.list(inputs_), w.list(outputs_), w.tables(operators),
                    w.string("main")});
  };
  return w.finish([&] {
    return w.table(
        {version, w.tables(codes), w.tables({subgraph}), w.string("test"), w.tables(buffers)});
  });
}

Graph TfModel::import() const {
  Graph g = import_tflite_bytes(bytes(), "net.tflite");
  verify(g, "import");
  return g;
}

std::vector<Tensor> TfModel::run(const std::vector<Tensor>& inputs) const {
  return interpret(import(), inputs);
}

std::string operators_of(const Graph& g) {
  std::string names;
  for (NodeId id : g.order()) names += (names.empty() ? "" : " ") + g.node(id).room->op.name;
  return names;
}

int count(const Graph& g, const std::string& op) {
  int n = 0;
  for (NodeId id : g.order()) n += g.node(id).room->op.name == op ? 1 : 0;
  return n;
}

}  // namespace espalier::testing
