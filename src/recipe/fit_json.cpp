// summary.json and the terminal's table.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "recipe/fit_summary.h"

namespace espalier {
namespace {

using Json = nlohmann::ordered_json;

Json json_of(const Measured& m) {
  return {{"accuracy", m.accuracy},     {"macs", m.macs},
          {"params", m.params},         {"weight_bytes", m.weight_bytes},
          {"latency_ms", m.latency_ms}, {"latency_p10_ms", m.p10_ms},
          {"latency_p90_ms", m.p90_ms}};
}

Json json_of(const Budget& b) {
  Json j = Json::object();
  if (b.latency_ms) j["latency_ms"] = *b.latency_ms;
  if (b.weight_bytes) j["weight_bytes"] = *b.weight_bytes;
  if (b.macs_fraction) j["macs_fraction"] = *b.macs_fraction;
  if (b.memory_bytes) j["memory_bytes"] = *b.memory_bytes;
  if (b.drop) j["drop"] = *b.drop;
  return j;
}

std::string row(const char* label, const std::string& before, const std::string& after,
                const std::string& change) {
  char line[160];
  std::snprintf(line, sizeof line, "  %-22s %14s %14s   %s\n", label, before.c_str(), after.c_str(),
                change.c_str());
  return line;
}

std::string format(const char* pattern, double v) {
  char buffer[48];
  std::snprintf(buffer, sizeof buffer, pattern, v);
  return buffer;
}

}  // namespace

std::string to_json(const FitSummary& s) {
  Json j;
  j["espalier"] = s.version;
  j["model"] = s.model;
  j["data"] = s.data;
  j["machine"] = s.machine;
  j["command"] = s.command;
  j["seed"] = s.seed;
  j["threads"] = s.threads;
  j["batch"] = s.batch;
  j["seconds"] = s.seconds;
  j["metric"] = "top-1 accuracy, percent";
  j["test"] = {{"split", s.test_split}, {"samples", s.test_samples}};
  j["validation"] = {{"split", s.validation_split}, {"samples", s.validation_samples}};
  j["baseline"] = json_of(s.baseline);
  j["result"] = json_of(s.result);
  j["result"]["candidate"] = s.chosen;
  j["result"]["speedup"] = s.speedup;
  j["budget"] = json_of(s.budget);
  j["met"] = s.met;
  j["candidates"] = Json::array();
  for (const auto& c : s.candidates) {
    Json k = json_of(c.measured);
    k["name"] = c.name;
    k["cut"] = c.cut;
    k["precision"] = c.precision;
    k["memory_bytes"] = c.memory_bytes;
    k["speedup"] = c.speedup;
    k["slower"] = c.slower;
    k["meets"] = c.meets;
    k["pareto"] = c.pareto;
    if (!c.why_not.empty()) k["why_not"] = c.why_not;
    j["candidates"].push_back(std::move(k));
  }
  j["layers"] = Json::array();
  for (const auto& l : s.layers)
    j["layers"].push_back({{"name", l.name},
                           {"op", l.op},
                           {"channels_before", l.channels_before},
                           {"channels_after", l.channels_after},
                           {"macs_before", l.macs_before},
                           {"macs_after", l.macs_after},
                           {"ms_before", l.ms_before},
                           {"ms_after", l.ms_after},
                           {"precision", l.precision}});
  j["curves"] = Json::array();
  for (const auto& p : s.curves)
    j["curves"].push_back({{"phase", p.phase},
                           {"epoch", p.epoch},
                           {"train_loss", p.train_loss},
                           {"validation_accuracy", p.validation_accuracy}});
  j["notes"] = s.notes;
  return j.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string to_table(const FitSummary& s) {
  const Measured &b = s.baseline, &r = s.result;
  std::string t = "\n  " + s.model + " on " + s.data + "\n\n";
  t += row("", "before", "after", "");
  t += row("test accuracy, %", format("%.2f", b.accuracy), format("%.2f", r.accuracy),
           format("%+.2f points", r.accuracy - b.accuracy));
  t += row("latency, ms", format("%.4f", b.latency_ms), format("%.4f", r.latency_ms),
           format("%.2fx faster", s.speedup));
  t +=
      row("weights, kB", format("%.1f", b.weight_bytes / 1e3), format("%.1f", r.weight_bytes / 1e3),
          format("%.2fx smaller", b.weight_bytes / r.weight_bytes));
  t += row("MACs, M", format("%.2f", b.macs / 1e6), format("%.2f", r.macs / 1e6),
           format("%.1f %% of before", 100 * r.macs / b.macs));
  t += row("parameters, k", format("%.1f", b.params / 1e3), format("%.1f", r.params / 1e3), "");
  t += "\n  returned: " + s.chosen + "; budget " + to_string(s.budget) +
       (s.met ? " met" : " NOT met") + "; latency at " + std::to_string(s.threads) +
       (s.threads == 1 ? " thread" : " threads") + ", batch " + std::to_string(s.batch) +
       "\n  \"faster\" is the median over rounds in which before and after ran in turn\n";
  return t;
}

}  // namespace espalier
