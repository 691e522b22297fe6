#include "onnx/import_parts.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream.h>
#include <google/protobuf/stubs/logging.h>

#include <algorithm>
#include <limits>
#include <map>
#include <unordered_set>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "onnx/adapt.h"
#include "onnx/attributes.h"
#include "onnx/onnx_proto.h"
#include "onnx/tensor_proto.h"
#include "onnx/type_proto.h"

namespace espalier {
namespace {

constexpr int64_t kNewestOpset = 21;

/// A file piece by piece; pieces that were read leave memory.
class PieceStream final : public google::protobuf::io::ZeroCopyInputStream {
 public:
  explicit PieceStream(const MappedFile& file) : file_(file) {}

  bool Next(const void** data, int* size) override {
    const auto bytes = file_.bytes();
    if (at_ == bytes.size()) return false;
    const size_t end = std::min(bytes.size(), at_ + kPiece);
    file_.let_go(kept_, at_);
    file_.fetch(at_, end);
    *data = bytes.data() + at_;
    *size = int(end - at_);
    kept_ = at_;
    at_ = end;
    return true;
  }
  void BackUp(int count) override { at_ -= size_t(count); }
  bool Skip(int count) override {
    const size_t left = file_.bytes().size() - at_;
    at_ += std::min(left, size_t(count));
    return left >= size_t(count);
  }
  int64_t ByteCount() const override { return int64_t(at_); }

 private:
  static constexpr size_t kPiece = 4 << 20;
  const MappedFile& file_;
  size_t kept_ = 0, at_ = 0;
};

void refuse_large(size_t bytes, const std::string& where) {
  if (bytes > size_t(std::numeric_limits<int>::max()))
    throw unsupported(where, "is larger than 2 GB", "store the weights as external data");
}

onnx::ModelProto parsed(google::protobuf::io::CodedInputStream& stream, const std::string& where) {
  google::protobuf::LogSilencer silence;
  onnx::ModelProto model;
  stream.SetTotalBytesLimit(std::numeric_limits<int>::max());
  if (!model.ParseFromCodedStream(&stream) || !stream.ConsumedEntireMessage())
    throw bad_input(where, "is no ONNX model, or is damaged or cut short",
                    "check its size against the original");
  if (!model.has_graph())
    throw bad_input(where, "holds no graph", "is it an ONNX model, and complete?");
  return model;
}

}  // namespace

onnx::ModelProto parse_model(std::string_view bytes, const std::string& where) {
  refuse_large(bytes.size(), where);
  google::protobuf::io::CodedInputStream stream(reinterpret_cast<const uint8_t*>(bytes.data()),
                                                int(bytes.size()));
  return parsed(stream, where);
}

onnx::ModelProto parse_model(const MappedFile& file, const std::string& where) {
  refuse_large(file.bytes().size(), where);
  PieceStream pieces(file);
  google::protobuf::io::CodedInputStream stream(&pieces);
  return parsed(stream, where);
}

int64_t opset_of(const onnx::ModelProto& model, const std::string& where) {
  const bool of_first_versions = model.ir_version() < 3;  // which had one opset only
  if (model.opset_import_size() == 0 && !of_first_versions)
    throw bad_input(where, "declares no opset");
  int64_t opset = of_first_versions ? 1 : kNewestOpset;
  for (const auto& o : model.opset_import())
    if (o.domain().empty() || o.domain() == "ai.onnx") opset = o.version();
  if (opset < 1) throw bad_input(where, "declares opset " + std::to_string(opset));
  if (opset > kNewestOpset)
    throw unsupported(where,
                      "is written in opset " + std::to_string(opset) + ", opsets 1 to " +
                          std::to_string(kNewestOpset) + " are understood",
                      "export it again with an older opset, 17 for instance");
  return opset;
}

void check_options(const onnx::GraphProto& graph, const ImportOptions& options,
                   const std::string& where) {
  std::unordered_set<std::string> inputs;
  for (const auto& in : graph.input()) inputs.insert(in.name());
  const auto check = [&](const std::string& name) {
    if (!inputs.contains(name)) throw usage_error(where, "has no input named '" + name + "'");
  };
  for (const auto& [name, shape] : options.shapes) check(name);
  for (const auto& [name, value] : options.pinned) check(name);
}

Type body_input_type(const onnx::ValueInfoProto& info, const std::optional<Type>& hint,
                     const std::string& where) {
  const std::string at = where + ": '" + info.name() + "'";
  const bool declared =
      info.has_type() && info.type().value_case() != 0 &&
      !(info.type().has_tensor_type() && info.type().tensor_type().elem_type() == 0);
  if (!declared && !hint) throw bad_input(at, "is a body's input without a type");
  if (!declared) return *hint;
  Type type = decode_type(info.type(), at);
  // Without a shape the operand's rank is the best that is known.
  return type.is_unranked() && hint && refines(*hint, type) ? *hint : type;
}

void check_output(const onnx::ValueInfoProto& info, const Type& type, const std::string& where) {
  if (!info.type().has_tensor_type() || info.type().tensor_type().elem_type() == 0) return;
  const std::string at = where + ": output '" + info.name() + "'";
  const DType declared = element_type(info.type().tensor_type().elem_type(), at);
  if (type.is_tensor() && type.tensor().dtype != declared)
    throw bad_input(at, "is declared " + std::string(name_of(declared)) + ", the nodes give " +
                            to_string(type));
}

bool is_constant_node(const onnx::NodeProto& node) {
  return node.op_type() == "Constant" && domain_of(node).empty();  // not an operator
}

Tensor constant_of(const AttributeValue& value, const std::string& at) {
  const auto list = []<class T>(const std::vector<T>& v) {
    return Tensor::from<T>({int64_t(v.size())}, std::span<const T>(v));
  };
  if (const auto* t = std::get_if<Tensor>(&value)) return *t;
  if (const auto* i = std::get_if<int64_t>(&value)) return Tensor::scalar(*i);
  if (const auto* f = std::get_if<float>(&value)) return Tensor::scalar(*f);
  if (const auto* s = std::get_if<std::string>(&value)) return Tensor::scalar(*s);
  if (const auto* i = std::get_if<std::vector<int64_t>>(&value)) return list(*i);
  if (const auto* f = std::get_if<std::vector<float>>(&value)) return list(*f);
  if (const auto* s = std::get_if<std::vector<std::string>>(&value)) return list(*s);
  throw unsupported(at, "is a constant of a kind without a place here");
}

namespace {

void add_unsupported(const onnx::GraphProto& graph, int64_t opset,
                     std::map<std::string, std::vector<std::string>>& missing) {
  for (const auto& node : graph.node()) {
    for (const auto& a : node.attribute())
      if (a.has_g()) add_unsupported(a.g(), opset, missing);
    if (is_constant_node(node) || importable(node.op_type(), domain_of(node), opset)) continue;
    const std::string text = describe(node);
    const size_t quote = text.find(" '");
    missing[text.substr(0, quote)].push_back(text.substr(quote + 1));
  }
}

}  // namespace

void refuse_unsupported(const onnx::GraphProto& graph, const std::string& where, int64_t opset) {
  std::map<std::string, std::vector<std::string>> missing;
  add_unsupported(graph, opset, missing);
  if (missing.empty()) return;
  std::string list;
  for (const auto& [op, nodes] : missing) {
    list += (list.empty() ? "" : "; ") + op + " (";
    for (size_t i = 0; i < nodes.size() && i < 5; ++i) list += (i ? ", " : "") + nodes[i];
    if (nodes.size() > 5) list += " and " + std::to_string(nodes.size() - 5) + " more";
    list += ")";
    const std::string_view why = why_not_importable(op.substr(op.rfind('.') + 1));
    if (!why.empty()) list += ": " + std::string(why);
  }
  throw unsupported(where, "uses operators that are not supported: " + list,
                    "replace them, or export the model with a simpler option");
}

}  // namespace espalier
