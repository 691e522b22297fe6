#include "recipe/weights.h"

#include <set>

#include "base/error.h"
#include "formats/safetensors.h"

namespace espalier {
namespace {

/// How many names of each kind of mismatch an error lists.
constexpr size_t kListed = 8;

bool is_weight(const Value& v) { return v.role != Role::kNone; }

std::string type_of(const Tensor& t) {
  return std::string(name_of(t.dtype())) + to_string(t.shape());
}

/// "a, b and 3 more".
std::string listed(const std::vector<std::string>& names) {
  std::string list;
  for (size_t i = 0; i < names.size() && i < kListed; ++i) list += (i ? ", " : "") + names[i];
  if (names.size() > kListed) list += " and " + std::to_string(names.size() - kListed) + " more";
  return list;
}

/// Mismatches of one kind as a sentence part.
void add(std::string& problem, const std::string& what, const std::vector<std::string>& names) {
  if (!names.empty()) problem += (problem.empty() ? "" : "; ") + what + ": " + listed(names);
}

bool is_counter(const std::string& name, const Tensor& t) {
  return name.ends_with("num_batches_tracked") && t.rank() == 0;
}

}  // namespace

void save_weights(const Graph& graph, const std::filesystem::path& path) {
  TensorFile file;
  for (ValueId v : graph.constants()) {
    const Value& value = graph.value(v);
    if (is_weight(value)) file.tensors.emplace(value.name, *value.constant);
  }
  if (file.tensors.empty()) throw bad_input(graph.name, "has no parameters to write");
  save_safetensors(file, path);
}

void check_weights_file(const std::filesystem::path& path) {
  if (path.extension() != ".safetensors")
    throw usage_error(path.string(), "is no file of weights by its name",
                      "weights are read from .safetensors");
}

void load_weights(Graph& graph, const std::filesystem::path& path) {
  check_weights_file(path);
  TensorFile file = load_safetensors(path);
  std::vector<std::string> absent, unknown, different;
  std::vector<std::pair<ValueId, Tensor>> found;
  for (ValueId v : graph.constants()) {
    const Value& value = graph.value(v);
    if (!is_weight(value)) continue;
    const auto it = file.tensors.find(value.name);
    if (it == file.tensors.end()) {
      absent.push_back("'" + value.name + "'");
      continue;
    }
    const Tensor &given = it->second, &own = *value.constant;
    const bool converts = is_float(given.dtype()) && is_float(own.dtype());
    if (given.shape() != own.shape() || (given.dtype() != own.dtype() && !converts))
      different.push_back("'" + value.name + "' is " + type_of(own) + ", the file holds " +
                          type_of(given));
    else
      found.emplace_back(v, given.cast(own.dtype()));
    file.tensors.erase(it);
  }
  for (const auto& [name, tensor] : file.tensors)
    if (!is_counter(name, tensor)) unknown.push_back("'" + name + "'");
  std::string problem;
  add(problem, "the file lacks", absent);
  add(problem, "the network has no", unknown);
  add(problem, "of another type", different);
  if (!problem.empty())
    throw bad_input(path.string(), "does not fit the network " + graph.name + ": " + problem,
                    "espalier export NET -o NET.safetensors shows the names it expects");
  for (auto& [v, tensor] : found) graph.mutable_value(v).constant = std::move(tensor);
}

}  // namespace espalier
