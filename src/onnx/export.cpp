#include "onnx/export.h"

#include <onnx/checker.h>
#undef fail_check  // a macro of ONNX in the way of our function

#include <set>

#include "base/error.h"
#include "base/files.h"
#include "ir/count.h"
#include "ir/patch.h"
#include "ir/room.h"
#include "onnx/attributes.h"
#include "onnx/onnx_proto.h"
#include "onnx/tensor_proto.h"
#include "onnx/type_proto.h"

namespace espalier {
namespace fs = std::filesystem;
namespace {

constexpr int kIrVersion = 8;
constexpr int kOpset = 17;
/// External data begins on a page, so that it can be mapped.
constexpr size_t kPage = 4096;

/// Of a form that opset 17 may know. A newer form that does not expand is written as it is: what
/// it has in common with the older one is most of it, and the checker finds the rest.
bool standard(const Room& room) {
  return room.op.domain.empty() && (room.op.version <= kOpset || !room.expand.answered());
}

/// The node's attributes with each body replaced by what `f` makes of it.
template <class F>
void replace_bodies(Graph& g, NodeId id, F f) {
  const Node& n = g.node(id);
  AttributeMap attributes = n.room->print(n.attrs, true);
  for (auto& [name, value] : attributes)
    if (auto* body = std::get_if<GraphRef>(&value))
      *body = std::make_shared<const Graph>(f(**body));
  g.mutable_node(id).attrs = n.room->parse(attributes, describe(g, id));
}

void find_stuck(const Graph& g, std::set<std::string>& stuck) {
  for (NodeId id : g.order()) {
    const Room& room = *g.node(id).room;
    if (!standard(room) && !room.expand.answered()) stuck.insert(describe(g, id));
    if (standard(room) && room.control)
      for (const GraphRef& body : room.control->bodies(g.node(id).attrs)) find_stuck(*body, stuck);
  }
}

/// One round of replacing foreign nodes by their expansions; false when there was none.
bool expand_once(Graph& g) {
  std::set<std::string> stuck;
  find_stuck(g, stuck);
  if (!stuck.empty()) {
    std::string list;
    for (const auto& s : stuck) list += (list.empty() ? "" : ", ") + s;
    throw unsupported(g.name, "operators without an ONNX form: " + list,
                      "export to .esp, which keeps every operator");
  }
  std::vector<NodeId> foreign;
  for (NodeId id : g.order())
    if (!standard(*g.node(id).room)) foreign.push_back(id);
  for (NodeId id : foreign) {
    Patch patch(g);
    const Node node = g.node(id);
    const Values results = expand_node(*node.room, node.attrs, patch.builder(), node.inputs);
    for (size_t i = 0; i < node.outputs.size(); ++i)
      if (node.outputs[i] != kNoValue) patch.shunt(node.outputs[i], results.at(i));
    patch.apply();
  }
  g.erase_dead();
  return !foreign.empty();
}

/// A data file as the pieces it is made of: tensors where they lie, and what fills the pages up.
struct DataFile {
  std::vector<std::string_view> pieces;
  size_t size = 0;

  void append(std::string_view bytes) {
    pieces.push_back(bytes);
    size += bytes.size();
  }
  void fill_page() {
    static const std::string zeros(kPage, '\0');
    append(std::string_view(zeros).substr(0, (kPage - size % kPage) % kPage));
  }
};

void write_external(const Tensor& t, const std::string& name, const std::string& location,
                    DataFile& data, onnx::TensorProto& proto) {
  data.fill_page();
  proto.set_name(name);
  proto.set_data_type(int32_t(detail::onnx_number(t.dtype())));
  for (int64_t d : t.shape()) proto.add_dims(d);
  proto.set_data_location(onnx::TensorProto::EXTERNAL);
  const auto entry = [&](const char* key, const std::string& value) {
    auto& e = *proto.add_external_data();
    e.set_key(key);
    e.set_value(value);
  };
  entry("location", location);
  entry("offset", std::to_string(data.size));
  entry("length", std::to_string(t.bytes()));
  data.append({static_cast<const char*>(t.raw()), t.bytes()});
}

/// Writes a graph and the bodies in it. Names of values are unique over all of them, as ONNX asks.
class Writer {
 public:
  /// Weights go to `data` under the name `location` unless that is empty; bodies keep theirs.
  Writer(const std::string& location, DataFile& data) : location_(location), data_(data) {}

  void write(const Graph& g, onnx::GraphProto& proto) {
    Names names(g.value_count());
    for (size_t v = 0; v < names.size(); ++v)
      if (g.alive(ValueId(v))) taken_.insert(names[v] = g.value(ValueId(v)).name);
    for (ValueId v : g.inputs()) write_value(g, v, names, *proto.add_input());
    write_nodes(g, names, proto);
    for (ValueId v : g.outputs()) {
      if (g.value(v).type.is_unranked())
        throw unsupported(
            "output '" + names[size_t(v)] + "'",
            "is " + to_string(g.value(v).type) + ", and ONNX files say the rank of every output",
            "export to .esp or .plan");
      write_value(g, v, names, *proto.add_output());
    }
  }

 private:
  using Names = std::vector<std::string>;  ///< by ValueId

  void write_nodes(const Graph& g, const Names& names, onnx::GraphProto& proto) {
    proto.set_name(g.name.empty() ? "graph" : g.name);
    for (ValueId v : g.constants()) {
      const Tensor& constant = *g.value(v).constant;
      if (location_.empty() || constant.dtype() == DType::string || bodies_ > 0)
        encode_tensor(constant, names[size_t(v)], *proto.add_initializer());
      else
        write_external(constant, names[size_t(v)], location_, data_, *proto.add_initializer());
    }
    for (NodeId id : g.order()) write_node(g, id, names, *proto.add_node());
  }

  static void write_value(const Graph& g, ValueId v, const Names& names,
                          onnx::ValueInfoProto& proto) {
    proto.set_name(names[size_t(v)]);
    encode_type(g.value(v).type, *proto.mutable_type());
  }

  void write_node(const Graph& g, NodeId id, const Names& names, onnx::NodeProto& proto) {
    const Node& n = g.node(id);
    const size_t captured =
        n.room->control ? n.room->control->captured(n.attrs) : captured_by_expansion(n);
    proto.set_op_type(n.room->op.name);
    proto.set_name(n.name);
    const auto name = [&](ValueId v) { return v == kNoValue ? "" : names[size_t(v)]; };
    const size_t own = n.inputs.size() - captured;
    for (size_t i = 0; i < own; ++i) proto.add_input(name(n.inputs[i]));
    for (ValueId v : n.outputs) proto.add_output(name(v));
    Names outer;
    for (size_t i = own; i < n.inputs.size(); ++i) outer.push_back(name(n.inputs[i]));
    for (const auto& [key, value] : n.room->print(n.attrs, false))
      if (key != kCaptured)
        encode_attribute(
            key, value, *proto.add_attribute(),
            [&](const Graph& body, onnx::GraphProto& to) { write_body(body, outer, to); });
  }

  static size_t captured_by_expansion(const Node& n) {
    const AttributeMap attributes = n.room->print(n.attrs, false);
    const auto it = attributes.find(kCaptured);
    return it == attributes.end() ? 0 : size_t(std::get<int64_t>(it->second));
  }

  /// The last inputs are read by their names outside.
  void write_body(const Graph& body, const Names& outer, onnx::GraphProto& proto) {
    ++bodies_;
    Names names(body.value_count());
    const size_t own = body.inputs().size() - outer.size();
    for (size_t i = 0; i < outer.size(); ++i) names[size_t(body.inputs()[own + i])] = outer[i];
    for (size_t v = 0; v < names.size(); ++v)
      if (body.alive(ValueId(v)) && names[v].empty())
        names[v] = unused(body.value(ValueId(v)).name);
    for (size_t i = 0; i < own; ++i) write_value(body, body.inputs()[i], names, *proto.add_input());
    write_nodes(body, names, proto);
    std::set<std::string> written;
    for (ValueId v : body.outputs()) {
      // What a body hands on must be a value of its own, each once.
      const std::string from = names[size_t(v)];
      const bool made = body.value(v).producer != kNoNode && written.insert(from).second;
      const std::string to = made ? from : unused(from);
      if (!made) {
        auto& copy = *proto.add_node();
        copy.set_op_type("Identity");  // not an operator
        copy.add_input(from);
        copy.add_output(to);
      }
      auto& info = *proto.add_output();
      info.set_name(to);
      encode_type(body.value(v).type, *info.mutable_type());
    }
    --bodies_;
  }

  std::string unused(const std::string& base) {
    std::string name = base;
    for (int i = 0; !taken_.insert(name).second; ++i) name = base + "_" + std::to_string(i);
    return name;
  }

  static constexpr const char* kCaptured = "captured";
  const std::string& location_;
  DataFile& data_;
  std::set<std::string> taken_;
  int bodies_ = 0;
};

/// The model; weights go to `data` under the name `location` unless that is empty.
onnx::ModelProto model_of(const Graph& g, const std::string& location, DataFile& data) {
  if (!g.states().empty())
    throw unsupported(g.name, "carries state from run to run, which ONNX cannot say",
                      "export the network for inference");
  onnx::ModelProto model;
  model.set_ir_version(kIrVersion);
  model.set_producer_name("espalier");
  model.add_opset_import()->set_version(kOpset);
  for (const auto& [key, value] : g.metadata) {
    if (key == "producer") continue;
    auto& entry = *model.add_metadata_props();
    entry.set_key(key);
    entry.set_value(value);
  }
  Writer(location, data).write(g, *model.mutable_graph());
  return model;
}

/// `model` is the model itself or the path of its file.
template <class Model>
void check(const Model& model, const std::string& name) {
  try {
    onnx::checker::check_model(model);
  } catch (const std::exception& e) {
    std::string why = e.what();
    for (char& c : why)
      if (c == '\n') c = ' ';
    throw unsupported(name, "has no valid ONNX form: " + why);
  }
}

/// A file that goes when this does.
struct Draft {
  fs::path path;
  ~Draft() {
    std::error_code ignored;
    fs::remove(path, ignored);
  }
};

/// The checker looks for external data beside the model's file, so that file must exist first:
/// under another name, until it is found good.
void check_beside(const onnx::ModelProto& model, const fs::path& path, const std::string& name) {
  const Draft draft{path.string() + ".draft"};
  write_file_atomic(draft.path, model.SerializeAsString());
  check(draft.path.string(), name);
}

/// The model's external data under another name.
void point_at(onnx::ModelProto& model, const std::string& file) {
  for (auto& tensor : *model.mutable_graph()->mutable_initializer())
    for (auto& entry : *tensor.mutable_external_data())
      if (entry.key() == "location") entry.set_value(file);
}

}  // namespace

Graph in_standard_operators(const Graph& graph) {
  Graph g = graph.compacted();
  for (int round = 0; expand_once(g); ++round)
    ESP_CHECK(round < 32, "an operator expands into itself");
  for (NodeId id : std::vector<NodeId>(g.order()))
    if (g.node(id).room->control)
      replace_bodies(g, id, [](const Graph& body) { return in_standard_operators(body); });
  return g.compacted();
}

std::string export_onnx_bytes(const Graph& graph) {
  DataFile unused;
  const onnx::ModelProto model = model_of(in_standard_operators(graph), "", unused);
  check(model, graph.name);
  return model.SerializeAsString();
}

void export_onnx(const Graph& graph, const fs::path& path, const ExportOptions& options) {
  const Graph g = in_standard_operators(graph);
  if (size_t(constant_bytes(g)) <= options.external_above)
    return write_file_atomic(path, export_onnx_bytes(g));
  const fs::path data_path = path.string() + ".data";
  DataFile data;
  // Checked over a draft of the data: a model that stands there keeps its weights until both are
  // good. Data goes first: a model never stands there without its weights.
  const Draft draft{path.string() + ".draft.data"};
  onnx::ModelProto model = model_of(g, draft.path.filename().string(), data);
  write_file_atomic(draft.path, data.pieces);
  check_beside(model, path, g.name);
  point_at(model, data_path.filename().string());
  std::error_code error;
  fs::rename(draft.path, data_path, error);
  if (error) throw bad_input(data_path.string(), "cannot be written: " + error.message());
  write_file_atomic(path, model.SerializeAsString());
}

}  // namespace espalier
