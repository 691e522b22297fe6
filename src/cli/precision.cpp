#include "cli/precision.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/threads.h"
#include "cli/model_file.h"
#include "cli/output.h"
#include "cli/values.h"
#include "data/locate.h"
#include "data/source.h"
#include "formats/npy.h"

namespace espalier::cli {

std::vector<std::vector<Tensor>> calibration_data(const Graph& prepared, const std::string& spec,
                                                  int64_t samples) {
  const DataSpec data = DataSpec::parse(spec);
  if (data.kind == "npz" && prepared.inputs().size() > 1) {
    const std::string file = locate_data(data.path);
    return calibration_batches(prepared, load_npz(file), samples, file);
  }
  return calibration_batches(prepared, *load_dataset(data, Split::train), samples);
}

void PrecisionChoiceOptions::add_to(CLI::App& app) {
  app.add_option("--data", data, "Samples to calibrate and judge on, as kind:path?key=value&…")
      ->option_text("SPEC");
  app.add_option("--method", method, "Ranges of int8: minmax or percentile")->capture_default_str();
  app.add_option("--samples", samples, "Samples to calibrate and judge on")
      ->transform(whole_number(1, int64_t{1} << 30))
      ->capture_default_str();
  app.add_option("--max-error", max_error,
                 "How far results may be off those of f32 with --precision auto, in percent")
      ->check(finite_number(0, 1000))
      ->capture_default_str();
}

PrecisionChoice PrecisionChoiceOptions::choose(const Graph& graph, const ModelOptions& model,
                                               bool bf16) const {
  PrecisionOptions options;
  options.max_error = max_error / 100;
  options.threads = num_threads();
  options.method = range_method(method);
  options.bf16 = bf16;
  const auto shapes = model.shapes_of(graph);
  std::vector<std::vector<Tensor>> batches;
  if (!data.empty()) batches = calibration_data(graph, data, samples);
  return choose_precision(graph, shapes, batches, options);
}

void print_choice(const PrecisionChoice& choice, double max_error) {
  Table table({"precision", ">ms", ">faster", ">error", ""});
  const Timing& base = choice.candidates[0].timing;
  for (const PrecisionCandidate& c : choice.candidates)
    table.row({c.name, short_number(c.timing.median_ms),
               short_number(speedup(base, c.timing), 3) + "x",
               short_number(100 * c.relative_error, 2) + " %",
               &c == &choice.best() ? "chosen"
               : c.fits             ? ""
                                    : "off by too much"});
  table.print();
  for (const auto& note : choice.notes) std::printf("%s\n", note.c_str());
  std::printf("results may be off those of f32 by %s %%\n\n", short_number(max_error, 2).c_str());
}

nlohmann::ordered_json to_json(const PrecisionChoice& choice, double max_error) {
  nlohmann::ordered_json j = {{"chosen", choice.best().name}, {"max_error", max_error / 100}};
  for (const PrecisionCandidate& c : choice.candidates)
    j["candidates"].push_back({{"precision", c.name},
                               {"median_ms", c.timing.median_ms},
                               {"mad_ms", c.timing.mad_ms},
                               {"relative_error", c.relative_error},
                               {"fits", c.fits}});
  for (const LayerPrecision& l : choice.layers)
    j["layers"].push_back(
        {{"layer", l.layer}, {"op", l.op}, {"precision", l.precision}, {"ms", l.ms}});
  j["batches"] = choice.batches;
  j["notes"] = choice.notes;
  return j;
}

}  // namespace espalier::cli
