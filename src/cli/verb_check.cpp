// espalier check: stored inputs and outputs (ONNX's test_data_set_*) against what comes out here.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/model_file.h"
#include "cli/output.h"
#include "cli/runner.h"
#include "cli/tensor_file.h"
#include "cli/values.h"
#include "cli/verb.h"

namespace espalier::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct Args {
  ModelOptions model;
  RunnerOptions runner;
  std::string data;
  double tolerance = 1e-4;
};

struct Verdict {
  std::string name;
  bool passed = false;
  double error = 0;  ///< largest difference relative to the largest expected magnitude
  std::string why;
};

std::vector<fs::path> data_sets(const std::string& folder) {
  if (!fs::is_directory(folder)) throw bad_input(folder, "is no folder");
  std::vector<fs::path> sets;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.is_directory() && entry.path().filename().string().starts_with("test_data_set_"))
      sets.push_back(entry.path());
  std::sort(sets.begin(), sets.end());
  if (sets.empty() && fs::exists(fs::path(folder) / "output_0.pb")) sets.emplace_back(folder);
  if (sets.empty())
    throw bad_input(folder, "holds no test_data_set_* folders",
                    "each has input_0.pb, … and output_0.pb, …");
  return sets;
}

/// Largest |got - want| relative to the largest |want|; infinite where NaN or infinities differ.
double relative_error(const Tensor& got, const Tensor& want) {
  double most = 0, difference = 0;
  for (int64_t i = 0; i < want.size(); ++i) {
    const double a = got.at(i), b = want.at(i);
    if (a == b || (a != a && b != b)) continue;
    if (!std::isfinite(a) || !std::isfinite(b)) return INFINITY;
    difference = std::max(difference, std::abs(a - b));
  }
  for (int64_t i = 0; i < want.size(); ++i)
    if (std::isfinite(want.at(i))) most = std::max(most, std::abs(want.at(i)));
  return difference == 0 ? 0 : difference / std::max(most, 1e-30);
}

/// Adds to the verdict how a value differs from the stored one.
void compare(const Datum& got, const Datum& want, const std::string& name, double tolerance,
             Verdict& v) {
  const auto differs = [&](const std::string& why) {
    if (v.why.empty()) v.why = name + " " + why;
  };
  if (got.is_tensor() != want.is_tensor() ||
      (got.is_tensor() ? got.type() != want.type() : got.items().size() != want.items().size()))
    return differs("is " + describe(got) + ", stored is " + describe(want));
  if (!got.is_tensor()) {
    for (size_t i = 0; i < want.items().size(); ++i)
      compare(got.items()[i], want.items()[i], name + "[" + std::to_string(i) + "]", tolerance, v);
    return;
  }
  if (want.tensor().dtype() == DType::string) {
    if (!got.tensor().identical(want.tensor())) differs("differs");
    return;
  }
  const double error = relative_error(got.tensor(), want.tensor());
  v.error = std::max(v.error, error);
  if (!(error <= tolerance)) differs("differs");
}

Verdict compare(const std::vector<Datum>& got, const std::vector<Datum>& want, const Graph& g,
                double tolerance) {
  Verdict v;
  if (want.empty() || got.size() < want.size()) {
    v.why = std::to_string(want.size()) + " results are stored, the network gives " +
            std::to_string(got.size());
    return v;
  }
  for (size_t i = 0; i < want.size(); ++i)
    compare(got[i], want[i], "'" + g.value(g.outputs()[i]).name + "'", tolerance, v);
  v.passed = v.why.empty();
  return v;
}

std::vector<Type> types_of(const Graph& g, std::span<const ValueId> values) {
  std::vector<Type> types;
  for (ValueId v : values) types.push_back(g.value(v).type);
  return types;
}

ExitCode check(const Args& args, const Common& common) {
  const auto sets = data_sets(args.data);
  const Graph g = args.model.load();
  std::vector<Verdict> verdicts;
  for (const auto& set : sets) {
    const auto inputs = read_test_vectors(set, "input", types_of(g, g.inputs()));
    if (inputs.size() != g.inputs().size())
      throw bad_input(set.string(), "stores " + std::to_string(inputs.size()) +
                                        " inputs, the network takes " +
                                        std::to_string(g.inputs().size()));
    const auto outputs = args.runner.run(g, inputs);
    const auto stored = read_test_vectors(set, "output", types_of(g, g.outputs()));
    verdicts.push_back(compare(outputs, stored, g, args.tolerance));
    verdicts.back().name = set.filename().string();
  }
  const auto passed =
      std::count_if(verdicts.begin(), verdicts.end(), [](const Verdict& v) { return v.passed; });
  const auto failed = int64_t(verdicts.size()) - passed;
  Json list = Json::array();
  for (const Verdict& v : verdicts) {
    const Json error = std::isfinite(v.error) ? Json(v.error) : Json(nullptr);
    list.push_back({{"name", v.name}, {"passed", v.passed}, {"error", error}, {"why", v.why}});
    if (!common.json)
      std::printf("%s  %s  relative error %s%s%s\n", v.passed ? "pass" : "FAIL", v.name.c_str(),
                  short_number(v.error, 3).c_str(), v.why.empty() ? "" : "  ", v.why.c_str());
  }
  if (common.json)
    print_json({{"passed", passed},
                {"failed", failed},
                {"tolerance", args.tolerance},
                {"sets", std::move(list)}});
  else
    std::printf("%td passed, %lld failed\n", passed, static_cast<long long>(failed));
  return failed == 0 ? ExitCode::kOk : ExitCode::kCheckFailed;
}

}  // namespace

Action check_verb(CLI::App& app) {
  auto args = std::make_shared<Args>();
  args->model.keep_regions = true;
  args->model.add_to(app);
  app.add_option("--data", args->data, "Folder with test_data_set_* folders, or one of them")
      ->required()
      ->check(given("the folder's name"));
  app.add_option("--tolerance", args->tolerance,
                 "Largest difference, relative to the largest expected magnitude (default 1e-4)")
      ->check(finite_number(0));
  args->runner.add_to(app);
  app.footer(
      "Examples:\n"
      "  espalier check net.onnx --data net.test\n"
      "  espalier check net.onnx --data net.test --reference --tolerance 1e-6\n"
      "The exit code is 1 when a set fails.");
  return [args](const Common& common) { return check(*args, common); };
}

}  // namespace espalier::cli
