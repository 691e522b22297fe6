#include "onnx/import.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/stubs/logging.h>

#include <limits>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "base/files.h"
#include "ir/builder.h"
#include "ir/registry.h"
#include "onnx/adapt.h"
#include "onnx/attributes.h"
#include "onnx/node_order.h"
#include "onnx/onnx_proto.h"
#include "onnx/tensor_proto.h"

namespace espalier {
namespace {

constexpr int64_t kNewestOpset = 21;
/// What export writes as the producer: no news about a model.
constexpr std::string_view kOurName = "espalier";
/// Constants that come out of shape computations are folded up to this many elements.
constexpr int64_t kLargestFold = 1 << 16;

onnx::ModelProto parse_model(std::string_view bytes, const std::string& where) {
  google::protobuf::LogSilencer silence;
  onnx::ModelProto model;
  if (bytes.size() > size_t(std::numeric_limits<int>::max()))
    throw unsupported(where, "is larger than 2 GB", "store the weights as external data");
  google::protobuf::io::CodedInputStream stream(reinterpret_cast<const uint8_t*>(bytes.data()),
                                                int(bytes.size()));
  stream.SetTotalBytesLimit(std::numeric_limits<int>::max());
  if (!model.ParseFromCodedStream(&stream) || !stream.ConsumedEntireMessage())
    throw bad_input(where, "is no ONNX model, or is damaged or cut short",
                    "check its size against the original");
  if (!model.has_graph())
    throw bad_input(where, "holds no graph", "is it an ONNX model, and complete?");
  return model;
}

Type tensor_type(const onnx::TypeProto_Tensor& t, const std::string& where,
                 const Shape* override_shape) {
  TensorType type(element_type(t.elem_type(), where), Dims{});
  if (override_shape) return TensorType(type.dtype, *override_shape);
  if (!t.has_shape())
    throw unsupported(where, "has no shape", "give one, for instance --shape x=1,3,224,224");
  for (const auto& d : t.shape().dim()) {
    if (d.has_dim_value()) {
      if (d.dim_value() < 0)
        throw bad_input(where, "has the negative dimension " + std::to_string(d.dim_value()),
                        "give an open dimension a name instead");
      type.dims.emplace_back(d.dim_value());
    } else {
      type.dims.push_back(d.dim_param().empty() ? Dim::unknown() : Dim::symbol(d.dim_param()));
    }
  }
  return type;
}

class Importer {
 public:
  Importer(const onnx::ModelProto& model, std::string where, const std::filesystem::path& folder,
           const ImportOptions& options)
      : model_(model),
        proto_(model.graph()),
        where_(std::move(where)),
        options_(options),
        external_(folder),
        builder_(graph_) {}

  Graph run() {
    read_header();
    const std::vector<int> order = node_order(proto_, where_);
    refuse_unsupported();
    check_options();
    read_initialisers();
    read_inputs();
    for (int n : order) read_node(proto_.node(n));
    read_outputs();
    graph_.erase_dead();
    assign_roles(graph_, settings_);
    return graph_.compacted();
  }

 private:
  void read_header() {
    graph_.name = proto_.name().empty() ? "graph" : proto_.name();
    for (const auto& p : model_.metadata_props()) graph_.metadata[p.key()] = p.value();
    if (!model_.producer_name().empty() && model_.producer_name() != kOurName)
      graph_.metadata["producer"] = model_.producer_name();
    if (model_.ir_version() < 3) opset_ = 1;
    for (const auto& o : model_.opset_import())
      if (o.domain().empty() || o.domain() == "ai.onnx") opset_ = o.version();
    if (opset_ < 1 && model_.opset_import_size() == 0) throw bad_input(where_, "declares no opset");
    if (opset_ > kNewestOpset)
      throw unsupported(where_,
                        "is written in opset " + std::to_string(opset_) + ", opsets 1 to " +
                            std::to_string(kNewestOpset) + " are understood",
                        "export it again with an older opset, 17 for instance");
    if (proto_.sparse_initializer_size() > 0) throw unsupported(where_, "has sparse initialisers");
    if (proto_.output_size() == 0) throw bad_input(where_, "its graph has no outputs");
  }

  static bool is_constant_node(const onnx::NodeProto& node) {
    return node.op_type() == "Constant" && domain_of(node).empty();  // not an operator
  }

  // All at once: whoever repairs a model wants the whole list.
  void refuse_unsupported() const {
    std::map<std::string, std::vector<std::string>> missing;
    for (const auto& node : proto_.node()) {
      if (is_constant_node(node) || importable(node.op_type(), domain_of(node), opset_)) continue;
      const std::string text = describe(node);
      const size_t quote = text.find(" '");
      missing[text.substr(0, quote)].push_back(text.substr(quote + 1));
    }
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
    throw unsupported(where_, "uses operators that are not supported: " + list,
                      "replace them, or export the model with a simpler option");
  }

  void check_options() const {
    std::unordered_set<std::string> inputs;
    for (const auto& in : proto_.input()) inputs.insert(in.name());
    const auto check = [&](const std::string& name) {
      if (!inputs.contains(name)) throw usage_error(where_, "has no input named '" + name + "'");
    };
    for (const auto& [name, shape] : options_.shapes) check(name);
    for (const auto& [name, value] : options_.pinned) check(name);
  }

  void read_initialisers() {
    for (const auto& t : proto_.initializer()) {
      const ValueId v = graph_.add_constant(
          t.name(), decode_tensor(t, where_ + ": initialiser '" + t.name() + "'", &external_));
      values_[t.name()] = v;
      if (has_four_bits(t.data_type())) four_bit_.insert(v);
    }
  }

  Type type_of(const onnx::ValueInfoProto& info) {
    const std::string at = where_ + ": '" + info.name() + "'";
    const auto shape = options_.shapes.find(info.name());
    const Shape* given = shape == options_.shapes.end() ? nullptr : &shape->second;
    if (info.type().has_tensor_type()) return tensor_type(info.type().tensor_type(), at, given);
    throw unsupported(at, "is no tensor", "sequences and optionals are not supported as inputs");
  }

  void read_inputs() {
    for (const auto& in : proto_.input()) {
      if (values_.contains(in.name())) continue;
      const Type type = type_of(in);
      const auto pinned = options_.pinned.find(in.name());
      if (pinned == options_.pinned.end()) {
        values_[in.name()] = graph_.add_input(in.name(), type);
        if (has_four_bits(in.type().tensor_type().elem_type()))
          four_bit_.insert(values_[in.name()]);
        continue;
      }
      const TensorType given(pinned->second.dtype(), pinned->second.shape());
      if (!refines(given, type))
        throw bad_input(
            where_ + ": '" + in.name() + "'",
            "is given as " + to_string(given) + ", the network takes " + to_string(type));
      values_[in.name()] = graph_.add_constant(in.name(), pinned->second);
      known_.insert(values_[in.name()]);
    }
  }

  /// Makes room for a name of the file: a value that was given it by chance is renamed.
  const std::string& claim(const std::string& name) {
    if (const ValueId taken = graph_.find(name); taken != kNoValue)
      graph_.rename(taken, graph_.fresh_name(name + "_of_import"));
    return name;
  }

  void read_node(const onnx::NodeProto& node) {
    const std::string at = where_ + ": " + describe(node);
    AttributeMap attrs = decode_attributes(node, at, &external_);
    if (is_constant_node(node)) return read_constant(node, attrs, at);
    Call call{.b = builder_,
              .op = node.op_type(),
              .domain = domain_of(node),
              .opset = opset_,
              .where = at,
              .name = node.name(),
              .attrs = std::move(attrs),
              .inputs = {},
              .outputs = {node.output().begin(), node.output().end()},
              .four_bit = four_bit_,
              .settings = settings_};
    for (const auto& in : node.input()) call.inputs.push_back(operand(in, at));
    while (!call.inputs.empty() && call.inputs.back() == kNoValue) call.inputs.pop_back();
    while (!call.outputs.empty() && call.outputs.back().empty()) call.outputs.pop_back();
    if (call.outputs.empty()) return;
    try {
      const size_t nodes = graph_.node_count();
      if (const auto results = adapt(call))
        name_results(call, *results);
      else
        emit(call);
      for (auto id = NodeId(nodes); id < NodeId(graph_.node_count()); ++id) follow(id, call.name);
    } catch (const UserError& e) {
      throw e.where().starts_with(where_) ? e : e.within(at);
    }
  }

  /// A node that an adapter wrote goes by the name of the file's node. What has 4 bits in the file
  /// still has after it was moved.
  void follow(NodeId id, const std::string& name) {
    Node& n = graph_.mutable_node(id);
    if (n.name.empty()) n.name = name;
    if (n.outputs.empty() || n.outputs[0] == kNoValue || four_bit_.empty()) return;
    const Type& result = graph_.value(n.outputs[0]).type;
    for (const ValueId v : n.inputs) {
      if (v == kNoValue || !four_bit_.contains(v) || !result.is_tensor()) continue;
      if (graph_.value(v).tensor().dtype == result.tensor().dtype) four_bit_.insert(n.outputs[0]);
    }
  }

  ValueId operand(const std::string& name, const std::string& at) const {
    if (name.empty()) return kNoValue;
    const auto it = values_.find(name);
    if (it == values_.end())
      throw unsupported(at, "reads '" + name + "', a result that only training gives",
                        "export the network for inference");
    return it->second;
  }

  void read_constant(const onnx::NodeProto& node, const AttributeMap& attrs,
                     const std::string& at) {
    if (attrs.size() != 1 || node.output_size() != 1)
      throw bad_input(at, "needs one value and one result");
    const std::string& name = node.output(0);
    values_[name] = graph_.add_constant(claim(name), constant_of(attrs.begin()->second, at));
  }

  static Tensor constant_of(const AttributeValue& value, const std::string& at) {
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

  void emit(const Call& call) {
    const Room* room = find_room(call.op, call.domain);
    ESP_CHECK(room, "an adapter gave the operator " + call.op + ", which has no room");
    Attributes attrs = room->parse(call.attrs, call.where);
    Types types = infer_types(graph_, *room, attrs, call.inputs, call.where);
    if (call.outputs.size() > types.size())
      throw bad_input(call.where, "has " + std::to_string(call.outputs.size()) +
                                      " results, the operator gives " +
                                      std::to_string(types.size()));
    types.resize(call.outputs.size());
    if (auto results = folded(*room, attrs, call, types)) {
      for (size_t i = 0; i < call.outputs.size(); ++i) {
        if (call.outputs[i].empty()) continue;
        const ValueId v = graph_.add_constant(claim(call.outputs[i]), std::move((*results)[i]));
        values_[call.outputs[i]] = v;
        known_.insert(v);
      }
      return;
    }
    for (const auto& name : call.outputs)
      if (!name.empty()) claim(name);
    const NodeId id = graph_.add_node(*room, std::move(attrs), call.inputs, std::move(types),
                                      call.name, call.outputs);
    for (size_t i = 0; i < call.outputs.size(); ++i)
      if (!call.outputs[i].empty()) values_[call.outputs[i]] = graph_.node(id).outputs[i];
  }

  /// The results if they are known now and belong to a shape computation: such chains begin at
  /// shapes, and work on integers or on what was folded before. Weights are left alone.
  std::optional<std::vector<Tensor>> folded(const Room& room, const Attributes& attrs,
                                            const Call& call, const Types& types) const {
    if (room.known)
      if (auto t = room.known(attrs, types_in(graph_, room, call.inputs, call.where)))
        return std::vector<Tensor>{std::move(*t)};
    if (!room.deterministic || call.inputs.empty() || room.reference.refused()) return std::nullopt;
    bool integers = true, from_shapes = false;
    for (const Type& t : types) {
      if (!t.is_tensor() || !t.tensor().is_static() || t.tensor().numel() > kLargestFold)
        return std::nullopt;
      const DType d = t.tensor().dtype;
      integers = integers && (d == DType::i64 || d == DType::i32 || d == DType::boolean);
    }
    std::vector<const Tensor*> operands;
    for (ValueId v : call.inputs) {
      if (v != kNoValue && !graph_.is_constant(v)) return std::nullopt;
      from_shapes = from_shapes || known_.contains(v);
      operands.push_back(v == kNoValue ? nullptr : &*graph_.value(v).constant);
    }
    if (!integers && !from_shapes) return std::nullopt;
    return run_reference(room, attrs, operands, call.where);
  }

  /// Results of nodes an adapter wrote itself get the names of the file.
  void name_results(const Call& call, const Values& results) {
    if (call.outputs.size() > results.size()) call.malformed("asks for results it does not give");
    for (size_t i = 0; i < call.outputs.size(); ++i) {
      const std::string& name = call.outputs[i];
      if (name.empty()) continue;
      claim(name);
      graph_.rename(results[i], name);
      values_[name] = results[i];
    }
  }

  void read_outputs() {
    for (const auto& o : proto_.output()) {
      const auto it = values_.find(o.name());
      if (it == values_.end())
        throw bad_input(where_ + ": output '" + o.name() + "'", "is given by nothing");
      check_output(o, graph_.value(it->second).type);
      graph_.add_output(it->second);
    }
  }

  void check_output(const onnx::ValueInfoProto& info, const Type& type) const {
    if (!info.type().has_tensor_type() || info.type().tensor_type().elem_type() == 0) return;
    const std::string at = where_ + ": output '" + info.name() + "'";
    const DType declared = element_type(info.type().tensor_type().elem_type(), at);
    if (type.is_tensor() && type.tensor().dtype != declared)
      throw bad_input(at, "is declared " + std::string(name_of(declared)) + ", the nodes give " +
                              to_string(type));
  }

  const onnx::ModelProto& model_;
  const onnx::GraphProto& proto_;
  const std::string where_;
  const ImportOptions& options_;
  ExternalData external_;
  int64_t opset_ = 0;
  Graph graph_;
  Builder builder_;
  std::unordered_map<std::string, ValueId> values_;  ///< by their names in the file
  std::unordered_set<ValueId> known_;                ///< constants that were folded or pinned
  std::unordered_set<ValueId> four_bit_;             ///< of 4-bit types, unpacked to 8 bits
  std::unordered_set<ValueId> settings_;             ///< float constants that are no weights
};

}  // namespace

Graph import_onnx_bytes(std::string_view bytes, const std::string& where,
                        const std::filesystem::path& folder, const ImportOptions& options) {
  const onnx::ModelProto model = parse_model(bytes, where);
  return Importer(model, where, folder, options).run();
}

namespace {

std::string_view bytes_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

}  // namespace

Graph import_onnx(const std::filesystem::path& path, const ImportOptions& options) {
  const MappedFile file(path);
  return import_onnx_bytes(bytes_of(file), path.string(), path.parent_path(), options);
}

std::vector<std::string> onnx_input_names(const std::filesystem::path& path) {
  const MappedFile file(path);
  const onnx::ModelProto model = parse_model(bytes_of(file), path.string());
  std::unordered_set<std::string> initialisers;
  for (const auto& t : model.graph().initializer()) initialisers.insert(t.name());
  std::vector<std::string> names;
  for (const auto& in : model.graph().input())
    if (!initialisers.contains(in.name())) names.push_back(in.name());
  return names;
}

}  // namespace espalier
