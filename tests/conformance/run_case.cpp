#include "tests/conformance/run_case.h"

#include <functional>
#include <vector>

#include "base/error.h"
#include "ir/interpret.h"
#include "onnx/import.h"
#include "onnx/tensor_proto.h"
#include "runtime/session.h"
#include "tests/support/samples.h"

namespace espalier::testing {
namespace fs = std::filesystem;
namespace {

// ONNX's own tolerance between backends.
constexpr double kRelative = 1e-3, kAbsolute = 1e-5;

/// Cases store bf16 as the u16 that hold its bits.
Tensor as_bf16(const Tensor& bits) {
  Tensor t(DType::bf16, bits.shape());
  std::memcpy(t.mutable_raw(), bits.raw(), t.bytes());
  return t;
}

std::vector<Tensor> read_tensors(const fs::path& folder, const std::string& kind) {
  std::vector<Tensor> tensors;
  for (int i = 0;; ++i) {
    const fs::path path = folder / (kind + "_" + std::to_string(i) + ".pb");
    if (!fs::exists(path)) return tensors;
    tensors.push_back(read_tensor_proto(path));
  }
}

std::string compare(const std::vector<Tensor>& got, std::vector<Tensor> want) {
  if (got.size() < want.size()) return "gives " + std::to_string(got.size()) + " results";
  for (size_t i = 0; i < want.size(); ++i) {
    const std::string result = "result " + std::to_string(i);
    if (got[i].dtype() == DType::bf16 && want[i].dtype() == DType::u16) want[i] = as_bf16(want[i]);
    if (got[i].dtype() != want[i].dtype() || got[i].shape() != want[i].shape())
      return result + " is " + std::string(name_of(got[i].dtype())) + to_string(got[i].shape()) +
             ", expected " + std::string(name_of(want[i].dtype())) + to_string(want[i].shape());
    if (mismatch(got[i], want[i], kRelative, kAbsolute) > 1) return result + " differs";
  }
  return "";
}

/// Says so first where the model has operators without a room: its data may be of no use then.
void import_operators(const fs::path& model) {
  try {
    import_onnx(model);
  } catch (const UserError& e) {
    if (e.problem().starts_with("uses operators") || e.problem() == "is no tensor") throw;
  }
}

/// What a case feeds its model.
struct Feed {
  std::vector<std::string> names;
  std::vector<Tensor> values;
  ImportOptions options;  ///< shapes of inputs that the case feeds in other shapes than it declares
};

Feed read_feed(const fs::path& model, const fs::path& folder) {
  Feed f{onnx_input_names(model), read_tensors(folder, "input"), {}};
  Graph declared;
  try {
    declared = import_onnx(model);
  } catch (const UserError&) {
    return f;  // shapes depend on what is fed
  }
  for (size_t i = 0; i < f.values.size() && i < f.names.size(); ++i) {
    const ValueId v = declared.find(f.names[i]);
    if (v == kNoValue || !declared.value(v).type.is_tensor()) continue;
    const TensorType& type = declared.value(v).tensor();
    if (type.dtype == DType::bf16 && f.values[i].dtype() == DType::u16)
      f.values[i] = as_bf16(f.values[i]);
    const TensorType given(f.values[i].dtype(), f.values[i].shape());
    if (given.dtype == type.dtype && !refines(given, type))
      f.options.shapes[f.names[i]] = f.values[i].shape();
  }
  return f;
}

/// Reference and compiled program on one feeding of the network.
std::string run_pinned(const fs::path& model, const Feed& feed, const std::vector<Tensor>& want,
                       const std::function<bool(size_t)>& pin) {
  ImportOptions options = feed.options;
  std::vector<Tensor> inputs;
  for (size_t i = 0; i < feed.values.size() && i < feed.names.size(); ++i) {
    if (pin(i))
      options.pinned.emplace(feed.names[i], feed.values[i]);
    else
      inputs.push_back(feed.values[i]);
  }
  const Graph graph = import_onnx(model, options);
  const std::string why = compare(interpret(graph, inputs), want);
  if (!why.empty()) return why;
  const std::string compiled = compare(Model(graph).run(inputs), want);
  return compiled.empty() ? "" : "compiled: " + compiled;
}

/// Cases feed what models hold as constants: axes, shapes, sizes. Where the types of results
/// depend on them they are pinned, first the small operands after the first, then all.
std::string run_data_set(const fs::path& model, const fs::path& folder) {
  const Feed feed = read_feed(model, folder);
  const auto want = read_tensors(folder, "output");
  const std::function<bool(size_t)> rules[] = {
      [](size_t) { return false; },
      [&](size_t i) { return i > 0 && feed.values[i].rank() <= 1; },
      [](size_t) { return true; },
  };
  for (size_t attempt = 0;; ++attempt) {
    try {
      return run_pinned(model, feed, want, rules[attempt]);
    } catch (const UserError&) {
      if (attempt + 1 == std::size(rules) || feed.names.empty()) throw;
    }
  }
}

}  // namespace

Outcome run_case(const fs::path& folder) {
  try {
    import_operators(folder / "model.onnx");
    int sets = 0;
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (!entry.is_directory()) continue;
      ++sets;
      const std::string why = run_data_set(folder / "model.onnx", entry.path());
      if (!why.empty()) return {false, false, why};
    }
    if (sets == 0) return {false, false, "has no test data"};
    return {true, false, ""};
  } catch (const UserError& e) {
    return {false, false, e.problem()};
  } catch (const std::exception& e) {
    return {false, true, e.what()};
  }
}

}  // namespace espalier::testing
