#include "tests/conformance/run_case.h"

#include <functional>
#include <optional>
#include <vector>

#include "base/error.h"
#include "ir/interpret.h"
#include "onnx/datum_proto.h"
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

/// Test vectors of these types (the last one for those beyond them).
std::vector<Datum> read_data(const fs::path& folder, const std::string& kind,
                             const std::vector<Type>& types) {
  std::vector<Datum> data;
  for (size_t i = 0;; ++i) {
    const fs::path path = folder / (kind + "_" + std::to_string(i) + ".pb");
    if (!fs::exists(path)) return data;
    data.push_back(read_datum_proto(path, i < types.size() ? types[i] : Type()));
  }
}

/// What `got` is that `want` is not; empty when they agree.
std::string difference(const Datum& got, const Datum& want) {
  if (got.is_tensor() != want.is_tensor())
    return "is " + describe(got) + ", expected " + describe(want);
  if (!got.is_tensor()) {
    if (got.items().size() != want.items().size())
      return "is " + describe(got) + ", expected " + describe(want);
    for (size_t i = 0; i < want.items().size(); ++i)
      if (const auto why = difference(got.items()[i], want.items()[i]); !why.empty())
        return "item " + std::to_string(i) + " " + why;
    return "";
  }
  const Tensor& a = got.tensor();
  Tensor b = want.tensor();
  if (a.dtype() == DType::bf16 && b.dtype() == DType::u16) b = as_bf16(b);
  if (a.dtype() != b.dtype() || a.shape() != b.shape())
    return "is " + std::string(name_of(a.dtype())) + to_string(a.shape()) + ", expected " +
           std::string(name_of(b.dtype())) + to_string(b.shape());
  return mismatch(a, b, kRelative, kAbsolute) > 1 ? "differs" : "";
}

std::string compare(const std::vector<Datum>& got, const std::vector<Datum>& want) {
  if (got.size() < want.size()) return "gives " + std::to_string(got.size()) + " results";
  for (size_t i = 0; i < want.size(); ++i)
    if (const auto why = difference(got[i], want[i]); !why.empty())
      return "result " + std::to_string(i) + " " + why;
  return "";
}

/// Says so first where the model has operators without a room: its data may be of no use then.
void import_operators(const fs::path& model) {
  try {
    import_onnx(model);
  } catch (const UserError& e) {
    if (e.problem().starts_with("uses operators")) throw;
  }
}

/// Reference and compiled program on one feeding of the network.
std::string run_pinned(const fs::path& model, const std::vector<std::string>& names,
                       const std::vector<Datum>& inputs, const fs::path& folder,
                       const std::function<bool(size_t)>& pin) {
  ImportOptions options;
  std::vector<Datum> feed;
  for (size_t i = 0; i < inputs.size() && i < names.size(); ++i) {
    if (pin(i))
      options.pinned.emplace(names[i], inputs[i].tensor());
    else
      feed.push_back(inputs[i]);
  }
  const Graph graph = import_onnx(model, options);
  for (size_t i = 0; i < feed.size() && i < graph.inputs().size(); ++i) {
    const auto dtype = element_type_of(graph.value(graph.inputs()[i]).type);
    if (dtype == DType::bf16 && feed[i].tensor().dtype() == DType::u16)
      feed[i] = as_bf16(feed[i].tensor());
  }
  std::vector<Type> types;
  for (ValueId v : graph.outputs()) types.push_back(graph.value(v).type);
  const auto want = read_data(folder, "output", types);
  std::string why = compare(interpret_data(graph, feed), want);
  if (!why.empty()) return why;
  why = compare(Model(graph).run_data(feed), want);
  return why.empty() ? "" : "compiled: " + why;
}

/// Cases feed what models hold as constants: axes, shapes, sizes. They run as they are, and with
/// the small operands after the first pinned, as models have them; where both are refused (an
/// adapter needs to know more), with all pinned.
std::string run_data_set(const fs::path& model, const fs::path& folder) {
  const auto declared = onnx_inputs(model);
  std::vector<std::string> names;
  std::vector<Type> types;
  for (const auto& [name, type] : declared) {
    names.push_back(name);
    types.push_back(type);
  }
  const auto inputs = read_data(folder, "input", types);
  const auto small = [&](size_t i) {
    return i > 0 && inputs[i].is_tensor() && inputs[i].tensor().rank() <= 1;
  };
  const auto nothing = [](size_t) { return false; };
  const auto all = [&](size_t i) { return inputs[i].is_tensor(); };
  bool some_small = false;
  for (size_t i = 0; i < inputs.size(); ++i) some_small = some_small || small(i);
  std::optional<UserError> refused;
  bool ran = false;
  const auto run = [&](const std::function<bool(size_t)>& pin) -> std::string {
    try {
      const std::string why = run_pinned(model, names, inputs, folder, pin);
      ran = true;
      return why;
    } catch (const UserError& e) {
      refused = e;
      return "";
    }
  };
  if (const std::string why = run(nothing); !why.empty()) return why;
  if (some_small)
    if (const std::string why = run(small); !why.empty()) return why + ", small operands pinned";
  if (ran || names.empty()) {
    if (!ran) throw *refused;
    return "";
  }
  const std::string why = run(all);
  if (!ran) throw *refused;
  return why;
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
