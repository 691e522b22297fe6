#include "tflite/import.h"

#include <algorithm>
#include <unordered_map>

#include "base/error.h"
#include "base/files.h"
#include "tflite/operator.h"

namespace espalier {
namespace {

using namespace tflite;

struct Known {
  const char* name;
  void (*lower)(const Operator&) = nullptr;
};

const std::unordered_map<int, Known>& operators() {
  static const std::unordered_map<int, Known> known = {
#define TFL_OP(number, name, function) {number, {#name, &tflite::function}},
#define TFL_NAME(number, name) {number, {#name}},
#include "tflite/operators.inc"
#undef TFL_OP
#undef TFL_NAME
  };
  return known;
}

constexpr int kCustom = 32;

std::string kind_of(const OperatorInfo& o) {
  if (o.code == kCustom)
    return "custom operator " + (o.custom.empty() ? "without a name" : o.custom);
  const auto it = operators().find(o.code);
  return it == operators().end() ? "operator number " + std::to_string(o.code) : it->second.name;
}

/// The name of what it gives, for messages.
std::string label(const ModelInfo& m, const OperatorInfo& o) {
  const std::string name = o.outputs.empty() ? "" : m.tensors[size_t(o.outputs[0])].name;
  return name.empty() ? "" : " '" + name + "'";
}

// All at once: whoever repairs a model wants the whole list.
void refuse_unsupported(const ModelInfo& m, const std::string& where) {
  std::map<std::string, std::vector<std::string>> missing;
  for (const OperatorInfo& o : m.operators) {
    const auto it = operators().find(o.code);
    if (it != operators().end() && it->second.lower) continue;
    missing[kind_of(o)].push_back(label(m, o));
  }
  if (missing.empty()) return;
  std::string list;
  for (const auto& [kind, labels] : missing) {
    list += (list.empty() ? "" : "; ") + kind;
    if (labels.size() > 1) list += " (" + std::to_string(labels.size()) + " of them)";
  }
  throw unsupported(where, "uses operators that are not supported: " + list,
                    "convert the model again without them, or go by way of ONNX");
}

bool opens_batch(const ModelInfo& m, int32_t t) {
  const auto& signature = m.tensors[size_t(t)].signature;
  return !signature.empty() && signature[0] == -1;
}

class Importer {
 public:
  Importer(const ModelInfo& m, const std::string& where, const TfliteOptions& options, bool open)
      : m_(m), where_(where), options_(options), open_(open), l_(m, where) {}

  Graph run() {
    Graph& g = l_.graph();
    g.name = m_.name.empty() ? "graph" : m_.name;
    g.metadata["producer"] = m_.description.empty() ? "TFLite" : "TFLite, " + m_.description;
    std::map<std::string, Shape> shapes = options_.shapes;
    for (int32_t t : m_.inputs) add_input(t, shapes);
    if (!shapes.empty())
      throw usage_error(where_, "has no input named '" + shapes.begin()->first + "'");
    for (const OperatorInfo& o : m_.operators) lower(o);
    for (int32_t t : m_.outputs) g.add_output(l_.stored(t));
    g.sort();
    g.erase_dead();
    return g.compacted();
  }

 private:
  void add_input(int32_t t, std::map<std::string, Shape>& shapes) {
    const TensorInfo& info = m_.tensors[size_t(t)];
    const std::string name = l_.name_of(t);
    if (info.constant) throw bad_input(where_, "its input '" + name + "' is a constant");
    TensorType type(element_type(info.type, where_ + ": input '" + name + "'"), info.shape);
    if (const auto given = shapes.find(name); given != shapes.end()) {
      if (given->second.size() != info.shape.size())
        throw usage_error(where_, "input '" + name + "' has " + std::to_string(info.shape.size()) +
                                      " axes, the given shape is " + to_string(given->second));
      type = TensorType(type.dtype, given->second);
      shapes.erase(given);
    } else if (open_) {
      for (size_t i = 0; i < info.signature.size(); ++i)
        if (info.signature[i] < 0)
          type.dims[i] = i == 0 ? Dim::symbol("N") : Dim::symbol(name + "_" + std::to_string(i));
    }
    if (l_.graph().find(name) != kNoValue)
      throw bad_input(where_, "has two inputs named '" + name + "'");
    l_.set_input(t, l_.graph().add_input(name, type));
  }

  void lower(const OperatorInfo& o) {
    const std::string what = kind_of(o) + label(m_, o);
    const std::string at = where_ + ": " + what;
    l_.begin(o.outputs.empty() ? kind_of(o) : l_.name_of(o.outputs[0]));
    try {
      operators().at(o.code).lower({l_, o, at});
    } catch (const UserError& e) {
      throw e.where().starts_with(where_) ? e : UserError(e.code(), at, e.problem(), e.hint());
    }
  }

  const ModelInfo& m_;
  const std::string& where_;
  const TfliteOptions& options_;
  const bool open_;
  Lowering l_;
};

/// Whether the batch of every output is as open as the file's signature says.
bool is_open(const Graph& g, const ModelInfo& m) {
  for (size_t i = 0; i < m.outputs.size(); ++i) {
    const Dims& dims = g.value(g.outputs()[i]).tensor().dims;
    if (opens_batch(m, m.outputs[i]) && !dims.empty() && dims[0].known()) return false;
  }
  return true;
}

}  // namespace

Graph import_tflite_bytes(std::string_view bytes, const std::string& where,
                          const TfliteOptions& options) {
  const FlatBuffer file(bytes, where);
  const ModelInfo m = read_model(file);
  refuse_unsupported(m, where);
  // A network that computes with its batch size, or has it written into a shape, is taken as the
  // file stores it.
  if (options.shapes.empty() &&
      std::any_of(m.inputs.begin(), m.inputs.end(), [&](int32_t t) { return opens_batch(m, t); })) {
    try {
      Graph g = Importer(m, where, options, true).run();
      if (is_open(g, m)) return g;
    } catch (const UserError&) {
      // What is wrong shows again below.
    }
  }
  return Importer(m, where, options, false).run();
}

Graph import_tflite(const std::filesystem::path& path, const TfliteOptions& options) {
  const MappedFile file(path);
  const std::string_view bytes(reinterpret_cast<const char*>(file.bytes().data()),
                               file.bytes().size());
  return import_tflite_bytes(bytes, path.string(), options);
}

}  // namespace espalier
