#include "recipe/network_file.h"

#include <functional>

#include "base/error.h"
#include "base/files.h"
#include "ir/text.h"
#include "onnx/import.h"
#include "runtime/plan.h"
#include "tflite/import.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;
using Shapes = std::map<std::string, Shape>;
using Reader = std::function<Graph(const fs::path&, const Shapes&)>;

const std::map<std::string, Reader>& readers() {
  static const std::map<std::string, Reader> by_suffix = {
      {".onnx", [](const fs::path& p,
                   const Shapes& s) { return import_onnx(p, {.pinned = {}, .shapes = s}); }},
      {".tflite",
       [](const fs::path& p, const Shapes& s) { return import_tflite(p, {.shapes = s}); }},
      {".esp",
       [](const fs::path& p, const Shapes&) { return parse_graph(read_file(p), p.string()); }},
      {".plan", [](const fs::path& p, const Shapes&) { return load_plan(p); }},
  };
  return by_suffix;
}

}  // namespace

bool is_definition_file(const fs::path& path) {
  return path.extension() == ".yaml" || path.extension() == ".yml";
}

bool is_network_file(const fs::path& path) { return readers().contains(path.extension().string()); }

Graph read_network(const fs::path& path, const Shapes& shapes) {
  const auto reader = readers().find(path.extension().string());
  if (reader == readers().end())
    throw usage_error(path.string(), "has a suffix that names no network format", kNetworkFormats);
  return reader->second(path, shapes);
}

}  // namespace espalier
