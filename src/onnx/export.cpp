#include "onnx/export.h"

#include <onnx/checker.h>
#undef fail_check  // a macro of ONNX in the way of our function

#include <set>

#include "base/error.h"
#include "base/files.h"
#include "ir/patch.h"
#include "ir/room.h"
#include "onnx/attributes.h"
#include "onnx/onnx_proto.h"
#include "onnx/tensor_proto.h"

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

/// One round of replacing foreign nodes by their expansions; false when there was none.
bool expand_once(Graph& g) {
  std::set<std::string> stuck;
  std::vector<NodeId> foreign;
  for (NodeId id : g.order()) {
    if (standard(*g.node(id).room)) continue;
    foreign.push_back(id);
    if (!g.node(id).room->expand.answered()) stuck.insert(describe(g, id));
  }
  if (!stuck.empty()) {
    std::string list;
    for (const auto& s : stuck) list += (list.empty() ? "" : ", ") + s;
    throw unsupported(g.name, "operators without an ONNX form: " + list,
                      "export to .esp, which keeps every operator");
  }
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

void write_type(const Type& type, const std::string& where, onnx::TypeProto& proto) {
  if (!type.is_tensor()) throw unsupported(where, "is " + to_string(type) + ", not a tensor");
  auto& tensor = *proto.mutable_tensor_type();
  tensor.set_elem_type(int32_t(detail::onnx_number(type.tensor().dtype)));
  auto& shape = *tensor.mutable_shape();
  for (const Dim& d : type.tensor().dims) {
    auto& dim = *shape.add_dim();
    if (d.known())
      dim.set_dim_value(d.value());
    else if (!d.name().empty())
      dim.set_dim_param(d.name());
  }
}

void write_value(const Value& value, onnx::ValueInfoProto& proto) {
  proto.set_name(value.name);
  write_type(value.type, "'" + value.name + "'", *proto.mutable_type());
}

void write_node(const Graph& g, NodeId id, onnx::NodeProto& proto) {
  const Node& n = g.node(id);
  proto.set_op_type(n.room->op.name);
  proto.set_name(n.name);
  const auto name = [&](ValueId v) { return v == kNoValue ? "" : g.value(v).name; };
  for (ValueId v : n.inputs) proto.add_input(name(v));
  for (ValueId v : n.outputs) proto.add_output(name(v));
  for (const auto& [key, value] : n.room->print(n.attrs, false))
    encode_attribute(key, value, *proto.add_attribute());
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
  auto& graph = *model.mutable_graph();
  graph.set_name(g.name.empty() ? "graph" : g.name);
  for (ValueId v : g.inputs()) write_value(g.value(v), *graph.add_input());
  for (ValueId v : g.constants()) {
    const Value& value = g.value(v);
    if (location.empty() || value.constant->dtype() == DType::string)
      encode_tensor(*value.constant, value.name, *graph.add_initializer());
    else
      write_external(*value.constant, value.name, location, data, *graph.add_initializer());
  }
  for (NodeId id : g.order()) write_node(g, id, *graph.add_node());
  for (ValueId v : g.outputs()) write_value(g.value(v), *graph.add_output());
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

size_t constant_bytes(const Graph& g) {
  size_t bytes = 0;
  for (ValueId v : g.constants()) bytes += g.value(v).constant->bytes();
  return bytes;
}

}  // namespace

Graph in_standard_operators(const Graph& graph) {
  Graph g = graph.compacted();
  for (int round = 0; expand_once(g); ++round)
    ESP_CHECK(round < 32, "an operator expands into itself");
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
  if (constant_bytes(g) <= options.external_above)
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
