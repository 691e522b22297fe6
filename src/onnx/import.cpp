#include "onnx/import.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "base/files.h"
#include "ir/builder.h"
#include "ir/derive.h"
#include "ir/registry.h"
#include "onnx/adapt.h"
#include "onnx/attributes.h"
#include "onnx/fold_shapes.h"
#include "onnx/import_parts.h"
#include "onnx/node_order.h"
#include "onnx/onnx_proto.h"
#include "onnx/tensor_proto.h"
#include "onnx/type_proto.h"

namespace espalier {
namespace {

/// What export writes as the producer: no news about a model.
constexpr std::string_view kOurName = "espalier";
/// Constants of up to this many elements are copied into the bodies that read them.
constexpr int64_t kCopiedElements = 64;

/// What the importers of a file's graph and of its bodies share.
struct File {
  const onnx::ModelProto& model;
  const std::string where;
  const ImportOptions& options;
  ExternalData external;
  TakenBytes taken;
  int64_t opset = 0;
};

class Importer {
 public:
  explicit Importer(File& file)
      : file_(file), proto_(file.model.graph()), where_(file.where), builder_(graph_) {}

  Graph run() {
    read_header();
    const std::vector<int> order = node_order(proto_, where_, [](const auto&) { return false; });
    refuse_unsupported(proto_, where_, file_.opset);
    check_options(proto_, file_.options, where_);
    read_initialisers();
    read_inputs();
    for (int n : order) read_node(proto_.node(n));
    read_outputs();
    graph_.erase_dead();
    assign_roles(graph_, settings_);
    return graph_.compacted();
  }

 private:
  /// Reads a body of a node in the graph that `parent` reads.
  Importer(const Importer& parent, const onnx::GraphProto& body, std::string where)
      : file_(parent.file_),
        proto_(body),
        where_(std::move(where)),
        parent_(&parent),
        builder_(graph_) {}

  /// The body as a graph of its own: what it reads from the graph around it are its last inputs,
  /// small constants excepted. `given` are types of the node's operands as the body sees them,
  /// where the body does not say them.
  Graph run_body(const std::vector<std::optional<Type>>& given,
                 const std::vector<std::string>& captured) {
    graph_.name = proto_.name().empty() ? "body" : proto_.name();
    if (proto_.sparse_initializer_size() > 0) throw unsupported(where_, "has sparse initialisers");
    const std::vector<int> order = node_order(
        proto_, where_, [&](const std::string& name) { return parent_->values_.contains(name); });
    read_initialisers();
    for (int i = 0; i < proto_.input_size(); ++i) {
      const auto& in = proto_.input(i);
      if (values_.contains(in.name())) continue;
      const auto hint = size_t(i) < given.size() ? given[size_t(i)] : std::nullopt;
      values_[in.name()] = graph_.add_input(in.name(), body_input_type(in, hint, where_));
    }
    for (const std::string& name : captured) {
      const ValueId from = parent_->values_.at(name);
      const Value& outer = parent_->graph_.value(from);
      const std::string own = graph_.fresh_name(name);
      values_.emplace(name, copied(outer) ? graph_.add_constant(own, *outer.constant)
                                          : graph_.add_input(own, outer.type));
      if (parent_->known_.contains(from) && copied(outer)) known_.insert(values_.at(name));
    }
    for (int n : order) read_node(proto_.node(n));
    read_outputs();
    graph_.erase_dead();
    assign_roles(graph_, settings_);
    return graph_.compacted();
  }

  /// Constants that bodies hold themselves, so that shapes and axes are seen there.
  static bool copied(const Value& outer) {
    return outer.constant && outer.constant->size() <= kCopiedElements;
  }

  void read_header() {
    graph_.name = proto_.name().empty() ? "graph" : proto_.name();
    for (const auto& p : file_.model.metadata_props()) graph_.metadata[p.key()] = p.value();
    const onnx::ModelProto& model = file_.model;
    if (!model.producer_name().empty() && model.producer_name() != kOurName)
      graph_.metadata["producer"] = model.producer_name();
    file_.opset = opset_of(model, where_);
    if (proto_.sparse_initializer_size() > 0) throw unsupported(where_, "has sparse initialisers");
    if (proto_.output_size() == 0) throw bad_input(where_, "its graph has no outputs");
  }

  void read_initialisers() {
    for (const auto& t : proto_.initializer()) {
      const ValueId v = graph_.add_constant(
          t.name(), decode_tensor(t, where_ + ": initialiser '" + t.name() + "'", &file_.external,
                                  file_.taken));
      values_[t.name()] = v;
      if (has_four_bits(t.data_type())) four_bit_.insert(v);
    }
  }

  Type type_of(const onnx::ValueInfoProto& info) {
    const std::string at = where_ + ": '" + info.name() + "'";
    if (!info.has_type() || info.type().value_case() == 0) throw bad_input(at, "has no type");
    const Type type = decode_type(info.type(), at);
    const auto shape = file_.options.shapes.find(info.name());
    if (shape == file_.options.shapes.end()) {
      if (type.is_unranked())
        throw unsupported(at, "has no shape", "give one, for instance --shape x=1,3,224,224");
      return type;
    }
    if (!element_type_of(type))
      throw usage_error(at, "is " + to_string(type) + ", which has no shape to be given");
    return TensorType(*element_type_of(type), shape->second);
  }

  void read_inputs() {
    for (const auto& in : proto_.input()) {
      if (values_.contains(in.name())) continue;
      const Type type = type_of(in);
      const auto pinned = file_.options.pinned.find(in.name());
      if (pinned == file_.options.pinned.end()) {
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
    if (is_constant_node(node))
      return read_constant(node, decode_attributes(node, at, &file_.external, no_subgraphs(at)),
                           at);
    Call call{.b = builder_,
              .op = node.op_type(),
              .domain = domain_of(node),
              .opset = file_.opset,
              .where = at,
              .name = node.name(),
              .attrs = {},
              .inputs = {},
              .outputs = {node.output().begin(), node.output().end()},
              .four_bit = four_bit_,
              .settings = settings_};
    for (const auto& in : node.input()) call.inputs.push_back(operand(in, at));
    while (!call.inputs.empty() && call.inputs.back() == kNoValue) call.inputs.pop_back();
    while (!call.outputs.empty() && call.outputs.back().empty()) call.outputs.pop_back();
    if (call.outputs.empty()) return;
    read_attributes(node, call);
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

  static SubgraphReader no_subgraphs(const std::string& at) {
    return [at](const std::string& name, const onnx::GraphProto&) -> GraphRef {
      throw bad_input(at, "attribute '" + name + "' is a subgraph");
    };
  }

  /// Attributes, bodies as graphs; what bodies capture becomes operands.
  void read_attributes(const onnx::NodeProto& node, Call& call) {
    std::vector<std::string> captured, handed;
    for (const std::string& name : captured_names(node)) {
      const ValueId v = operand(name, call.where);
      captured.push_back(name);
      if (!copied(graph_.value(v))) handed.push_back(name);
    }
    const std::string only = body_taken(call);
    std::map<std::string, GraphRef> bodies;
    for (const auto& a : node.attribute()) {
      if (!a.has_g() || (!only.empty() && a.name() != only)) continue;
      Importer reader(*this, a.g(), call.where + ", " + a.name());
      const auto given = body_input_types(call, node, size_t(a.g().input_size()));
      bodies[a.name()] = std::make_shared<const Graph>(reader.run_body(given, captured));
    }
    // A branch that is never taken may not even fit: the other stands for both.
    const auto read = [&](const std::string& name, const onnx::GraphProto&) {
      const auto it = bodies.find(only.empty() ? name : only);
      if (it == bodies.end())
        throw bad_input(call.where, "attribute '" + name + "' holds no graph");
      return it->second;
    };
    call.attrs = decode_attributes(node, call.where, &file_.external, read);
    if (bodies.empty()) return;
    call.captured = handed.size();
    if (const Room* room = find_room(call.op, call.domain); room && call.captured > 0) {
      while (int(call.inputs.size()) < room->arity.min_inputs) call.inputs.push_back(kNoValue);
      if (std::ranges::count(room->attribute_names, "captured") > 0)
        call.attrs["captured"] = int64_t(call.captured);
    }
    for (const std::string& name : handed) call.inputs.push_back(values_.at(name));
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

  void emit(const Call& call) {
    const Room* room = find_room(call.op, call.domain);
    ESP_CHECK(room, "an adapter gave the operator " + call.op + ", which has no room");
    Attributes attrs = room->parse(call.attrs, call.where);
    if (room->control) {
      const TypesIn in = types_in(graph_, *room, call.inputs, call.where);
      if (const GraphRef body = body_in_place(*room, attrs, in))
        return name_results(call, spliced(*body, call));
    }
    Types types = infer_types(graph_, *room, attrs, call.inputs, call.where);
    if (call.outputs.size() > types.size())
      throw bad_input(call.where, "has " + std::to_string(call.outputs.size()) +
                                      " results, the operator gives " +
                                      std::to_string(types.size()));
    types.resize(call.outputs.size());
    if (auto results = shape_results(graph_, known_, *room, attrs, call, types)) {
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

  /// The results of a body that stands for the node, each a value that may take a name.
  Values spliced(const Graph& body, const Call& call) {
    if (body.inputs().size() != call.captured)
      throw bad_input(call.where, "its body takes inputs, which nothing gives");
    const Values captured(call.inputs.end() - std::ptrdiff_t(call.captured), call.inputs.end());
    const auto first = ValueId(graph_.value_count());
    Values results = splice(builder_, body, captured);
    for (size_t i = 0; i < results.size(); ++i)
      if (!is_own_result(graph_, results, i, first))
        results[i] = builder_.one("Identity", {results[i]});
    return results;
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
      check_output(o, graph_.value(it->second).type, where_);
      graph_.add_output(it->second);
    }
  }

  File& file_;
  const onnx::GraphProto& proto_;
  const std::string where_;
  const Importer* parent_ = nullptr;  ///< of a body
  Graph graph_;
  Builder builder_;
  std::unordered_map<std::string, ValueId> values_;  ///< by their names in the file
  std::unordered_set<ValueId> known_;                ///< constants that were folded or pinned
  std::unordered_set<ValueId> four_bit_;             ///< of 4-bit types, unpacked to 8 bits
  std::unordered_set<ValueId> settings_;             ///< float constants that are no weights
};

}  // namespace

namespace {

Graph imported(onnx::ModelProto model, const std::string& where,
               const std::filesystem::path& folder, const ImportOptions& options) {
  File file{model, where, options, ExternalData(folder), take_bytes(*model.mutable_graph())};
  return Importer(file).run();
}

}  // namespace

Graph import_onnx_bytes(std::string_view bytes, const std::string& where,
                        const std::filesystem::path& folder, const ImportOptions& options) {
  return imported(parse_model(bytes, where), where, folder, options);
}

Graph import_onnx(const std::filesystem::path& path, const ImportOptions& options) {
  return imported(parse_model(MappedFile(path), path.string()), path.string(), path.parent_path(),
                  options);
}

std::vector<std::pair<std::string, Type>> onnx_inputs(const std::filesystem::path& path) {
  const onnx::ModelProto model = parse_model(MappedFile(path), path.string());
  std::unordered_set<std::string> initialisers;
  for (const auto& t : model.graph().initializer()) initialisers.insert(t.name());
  std::vector<std::pair<std::string, Type>> inputs;
  for (const auto& in : model.graph().input())
    if (!initialisers.contains(in.name()))
      inputs.emplace_back(in.name(),
                          decode_type(in.type(), path.string() + ": '" + in.name() + "'"));
  return inputs;
}

}  // namespace espalier
