// Beyond Inference (2024): where the time of a picture's way through a server goes, and what is won
// by preparing pictures in one pass while other batches compute.
#include <cmath>

#include "base/progress.h"
#include "base/rng.h"
#include "base/threads.h"
#include "data/photos.h"
#include "formats/images.h"
#include "recipe/blueprint.h"
#include "reproduce/reproduce.h"
#include "serve/overheads.h"

namespace espalier {
namespace {

using Json = nlohmann::ordered_json;
using serve::OverheadFigures;
using serve::PictureSet;
using serve::ServerFigures;

struct Size {
  int width = 0, height = 0;
};

Size size_of(const Yaml& text) {
  const std::string& s = text.text();
  const size_t cross = s.find('x');
  const auto extent = [&](const std::string& digits) {
    if (digits.empty() || digits.size() > 4 ||
        digits.find_first_not_of("0123456789") != digits.npos)
      text.fail("'" + s + "' is no size", "width x height, as in 640x480");
    return std::stoi(digits);
  };
  const Size size{extent(s.substr(0, cross)), extent(cross == s.npos ? "" : s.substr(cross + 1))};
  if (size.width < 1 || size.height < 1) text.fail("'" + s + "' has no pixels");
  return size;
}

std::vector<PictureSet> picture_sets(const std::vector<Yaml>& sizes, const Yaml& formats,
                                     int64_t count, uint64_t seed) {
  std::vector<PictureSet> sets;
  for (const Yaml& format : formats.items())
    if (format.text() != "jpeg" && format.text() != "png")
      format.fail("'" + format.text() + "' is no format", "formats are jpeg and png");
  for (const Yaml& text : sizes) {
    const Size size = size_of(text);
    std::vector<Image> photos;
    for (int64_t i = 0; i < count; ++i)
      photos.push_back(draw_photo(seed, i, size.width, size.height));
    for (const Yaml& format : formats.items()) {
      PictureSet set{format.text() + "_" + text.text(), {}};
      for (const Image& photo : photos)
        set.files.push_back(format.text() == "jpeg" ? encode_jpeg(photo) : encode_png(photo));
      sets.push_back(std::move(set));
    }
  }
  return sets;
}

double rounded(double value) { return std::round(value * 1000) / 1000; }

/// "decode 1.2, resize 0.3, …" in milliseconds; stages below a microsecond are left out.
std::string stages_of(const ServerFigures& f) {
  std::string text;
  double sum = 0;
  for (size_t i = 0; i < serve::kStages; ++i) {
    sum += f.lone_stages[i];
    if (f.lone_stages[i] < 0.001) continue;
    text +=
        std::string(serve::kStageNames[i]) + " " + Json(rounded(f.lone_stages[i])).dump() + ", ";
  }
  return text + "other " + Json(rounded(f.lone_total - sum)).dump();
}

void add(Json& to, const PictureSet& set, const std::string& prefix, const ServerFigures& f,
         double network_alone) {
  double bytes = 0;
  for (const std::string& file : set.files) bytes += double(file.size());
  to[prefix + "kilobytes"] = std::round(bytes / double(set.files.size()) / 100) / 10;
  to[prefix + "per_second"] = rounded(f.median_per_second);
  to[prefix + "throughput_lost_percent"] = rounded(100 * (1 - f.median_per_second / network_alone));
  to[prefix + "lone_ms"] = rounded(f.lone_ms);
  to[prefix + "not_inference_percent"] = rounded(100 * f.overhead_share());
  to[prefix + "stages_ms"] = stages_of(f);
  to[prefix + "loaded_ms"] = rounded(f.loaded_ms);
}

const PictureSet& set_named(const std::vector<PictureSet>& sets, const std::string& name,
                            const Fields& recipe) {
  std::vector<std::string> names;
  for (const PictureSet& set : sets) {
    if (set.name == name) return set;
    names.push_back(set.name);
  }
  recipe.map().fail("overload: there are no pictures '" + name + "'", suggestion(name, names));
}

void add_loads(Json& to, const Graph& graph, const PictureSet& set, const serve::OverheadOptions& o,
               const serve::RateOptions& rates) {
  for (const serve::RateFigures& r : serve::bear_load(graph, set, o, rates)) {
    const std::string prefix = "load_" + Json(r.load).dump() + "_";
    to[prefix + "asked_per_second"] = rounded(r.per_second);
    to[prefix + "accepted_per_second"] = rounded(r.accepted_per_second);
    to[prefix + "asked"] = r.asked;
    to[prefix + "shed"] = r.shed;
    to[prefix + "failed"] = r.failures;
    to[prefix + "p50_ms"] = rounded(r.p50_ms);
    to[prefix + "p99_ms"] = rounded(r.p99_ms);
  }
}

}  // namespace

Findings measure_server_overheads(Fields& recipe, const MeasureOptions& options) {
  const std::string network = recipe.string("network", "mobilenetv2");
  const std::vector<Yaml>& sizes = recipe.require("sizes").items();
  const Yaml& formats = recipe.require("formats");
  const int64_t photos = recipe.integer("photos", 8, 1, 1000);
  serve::OverheadOptions o;
  o.picture.input = recipe.string("input", "");
  o.picture.normalize = recipe.string("normalize", "imagenet");
  const int64_t resize = recipe.integer("resize", 224, 1, 4096);
  o.threads = int(recipe.integer("threads", 2, 1, 256));
  o.instances = int(recipe.integer("instances", 2, 1, 256));
  o.max_batch = recipe.integer("max_batch", 4, 1, 256);
  o.clients = int(recipe.integer("clients", 8, 1, 256));
  o.rounds = int(recipe.integer("rounds", 5, 1, 100));
  o.time = serve::milliseconds(1e3 * recipe.number("seconds", 1, 0.01, 60));
  o.most_requests = recipe.integer("most_requests", 100000, 1);
  serve::RateOptions rates;
  const std::string overloaded = recipe.string("overload", "");
  rates.time = serve::milliseconds(1e3 * recipe.number("overload_seconds", 4, 0.01, 60));
  rates.max_wait = serve::milliseconds(recipe.number("overload_max_wait", 100, 1, 10000));
  rates.seed = options.seed;
  const double bar = recipe.number("least_ratio", 1.5, 0);
  recipe.done();
  if (sizes.empty() || formats.items().empty()) recipe.map().fail("names no pictures");
  const Graph graph =
      load_blueprint(zoo_path(network, options.recipe), {.seed = options.seed, .variables = {}});
  if (o.picture.input.empty()) o.picture.input = graph.value(graph.inputs()[0]).name;
  o.picture.height = o.picture.width = resize;
  const auto sets = picture_sets(sizes, formats, photos, options.seed);
  const PictureSet* overload = overloaded.empty() ? nullptr : &set_named(sets, overloaded, recipe);
  Progress progress("asking", int64_t(sets.size()) * (o.rounds + 1), "rounds");
  const serve::OverheadReport report =
      serve::compare_servers(graph, sets, o, [&] { progress.advance(); });
  Findings f;
  int64_t failures = 0;
  double furthest = 0;
  for (size_t i = 0; i < sets.size(); ++i) {
    const OverheadFigures& figures = report.sets[i];
    const std::string prefix = figures.name + "_";
    add(f.baseline, sets[i], prefix, figures.serial, report.network_alone);
    add(f.measured, sets[i], prefix, figures.fused, report.network_alone);
    f.measured[prefix + "ratio"] = rounded(figures.ratio);
    f.measured[prefix + "ratio_with_average"] = rounded(figures.average_ratio);
    failures += figures.serial.failures + figures.fused.failures + figures.average.failures;
    furthest = std::max(furthest, figures.difference);
  }
  if (overload) add_loads(f.measured, graph, *overload, o, rates);
  f.measured["network_alone_per_second"] = rounded(report.network_alone);
  f.measured["largest_relative_difference"] = furthest;
  f.measured["failed_requests"] = failures;
  f.measured["ratio_with_average"] = rounded(report.average_geometric_mean);
  f.measured["ratio"] = rounded(report.geometric_mean);
  f.holds = report.geometric_mean >= bar && failures == 0 && furthest < 0.05;
  return f;
}

}  // namespace espalier
