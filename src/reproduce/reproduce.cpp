#include "reproduce/reproduce.h"

#include <chrono>
#include <vector>

#include "base/error.h"

namespace espalier {
namespace {

struct Measurement {
  const char* name;
  Findings (*measure)(Fields&, const MeasureOptions&);
};

constexpr Measurement kMeasurements[] = {
#define ESP_REPRODUCTION(name) {#name, measure_##name},
#include "reproduce/reproductions.inc"
#undef ESP_REPRODUCTION
};

}  // namespace

Reproduction reproduce(const Yaml& recipe, const MeasureOptions& options) {
  Fields fields(recipe, "a reproduction");
  if (const Yaml& version = fields.require("espalier"); version.integer() != 1)
    version.fail("is written for format " + version.text() + ", this program reads format 1");
  Reproduction r;
  Fields stated(fields.require("reproduces"), "reproduces");
  r.id = stated.string("id", "");
  r.system = stated.require_string("system");
  r.paper = stated.require_string("paper");
  r.claim = stated.require_string("claim");
  r.baseline = stated.require_string("baseline");
  r.bar = stated.require_string("bar");
  stated.done();
  std::vector<std::string> known;
  for (const Measurement& m : kMeasurements) known.emplace_back(m.name);
  fields.require("measure");
  const Measurement& chosen = kMeasurements[fields.choice("measure", 0, known)];
  const auto begin = std::chrono::steady_clock::now();
  r.found = chosen.measure(fields, options);
  r.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return r;
}

}  // namespace espalier
