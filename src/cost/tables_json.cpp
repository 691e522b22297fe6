#include "cost/tables_json.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace espalier {
namespace {

struct PeakField {
  const char* name;
  double MachinePeaks::*member;
};
constexpr PeakField kPeaks[] = {
    {"f32_gmacs_thread", &MachinePeaks::f32_gmacs_thread},
    {"f32_gmacs", &MachinePeaks::f32_gmacs},
    {"bf16_gmacs_thread", &MachinePeaks::bf16_gmacs_thread},
    {"bf16_gmacs", &MachinePeaks::bf16_gmacs},
    {"int8_gmacs_thread", &MachinePeaks::int8_gmacs_thread},
    {"int8_gmacs", &MachinePeaks::int8_gmacs},
    {"l1_gbs_thread", &MachinePeaks::l1_gbs_thread},
    {"l1_gbs", &MachinePeaks::l1_gbs},
    {"l2_gbs_thread", &MachinePeaks::l2_gbs_thread},
    {"l2_gbs", &MachinePeaks::l2_gbs},
    {"l3_gbs_thread", &MachinePeaks::l3_gbs_thread},
    {"l3_gbs", &MachinePeaks::l3_gbs},
    {"memory_gbs_thread", &MachinePeaks::memory_gbs_thread},
    {"memory_gbs", &MachinePeaks::memory_gbs},
    {"l1_bytes", &MachinePeaks::l1_bytes},
    {"l2_bytes", &MachinePeaks::l2_bytes},
    {"l3_bytes", &MachinePeaks::l3_bytes},
    {"dispatch_us", &MachinePeaks::dispatch_us},
    {"thread_start_us", &MachinePeaks::thread_start_us},
};

/// A finite number of at least 0.
double amount(const Json& j, const char* key) {
  const double value = j.at(key).get<double>();
  if (!std::isfinite(value) || value < 0) throw bad_input(key, "is no number of at least 0");
  return value;
}

Shape shape_from(const Json& j) {
  Shape shape = j.get<Shape>();
  if (std::any_of(shape.begin(), shape.end(), [](int64_t n) { return n < 0; }))
    throw bad_input("shape", "has a negative extent");
  return shape;
}

DType type_from(const Json& j) {
  const auto name = j.get<std::string>();
  const auto type = dtype_from_name(name);
  if (!type) throw bad_input("type", "'" + name + "' is not known");
  return *type;
}

}  // namespace

Json parsed_file(std::string_view text, const std::string& where, const char* key, int version) {
  Json j = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!j.is_object() || !j.contains(key) || !j[key].is_number_integer())
    throw bad_input(where, "is damaged, or something else", kMeasureAgain);
  if (j[key] != version)
    throw bad_input(where,
                    "is stale: it has version " + j[key].dump() + ", this program knows version " +
                        std::to_string(version),
                    kMeasureAgain);
  return j;
}

std::string dumped(const Json& j) { return j.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json machine_json(const MachineId& m) {
  return {{"cpu", m.cpu}, {"isa", m.isa}, {"engine", m.engine}, {"threads", m.threads}};
}

MachineId machine_from(const Json& j) {
  MachineId m{j.at("cpu").get<std::string>(), j.at("isa").get<std::string>(),
              j.at("engine").get<std::string>(), j.at("threads").get<int>()};
  if (m.threads < 1) throw bad_input("threads", "is no number of at least 1");
  return m;
}

Json peaks_json(const MachinePeaks& peaks) {
  Json j = Json::object();
  for (const PeakField& f : kPeaks) j[f.name] = peaks.*f.member;
  return j;
}

MachinePeaks peaks_from(const Json& j) {
  MachinePeaks peaks;
  for (const PeakField& f : kPeaks) peaks.*f.member = amount(j, f.name);
  return peaks;
}

Json facts_json(const RegionFacts& f) {
  return {{"kind", f.kind},
          {"operators", f.operators},
          {"types", Json::array({name_of(f.x_type), name_of(f.w_type), name_of(f.y_type)})},
          {"x", f.x},
          {"w", f.w},
          {"y", f.y},
          {"macs", f.macs},
          {"flops", f.flops},
          {"in_bytes", f.in_bytes},
          {"out_bytes", f.out_bytes},
          {"weight_bytes", f.weight_bytes}};
}

RegionFacts facts_from(const Json& j) {
  RegionFacts f;
  f.kind = j.at("kind").get<std::string>();
  f.operators = j.at("operators").get<std::string>();
  f.x_type = type_from(j.at("types").at(0));
  f.w_type = type_from(j.at("types").at(1));
  f.y_type = type_from(j.at("types").at(2));
  f.x = shape_from(j.at("x"));
  f.w = shape_from(j.at("w"));
  f.y = shape_from(j.at("y"));
  f.macs = amount(j, "macs");
  f.flops = amount(j, "flops");
  f.in_bytes = amount(j, "in_bytes");
  f.out_bytes = amount(j, "out_bytes");
  f.weight_bytes = amount(j, "weight_bytes");
  return f;
}

Json row_json(const RegionRow& row) {
  return {{"source", row.source},
          {"ms", row.ms},
          {"spread_ms", row.spread_ms},
          {"kernel", row.kernel},
          {"facts", facts_json(row.facts)}};
}

RegionRow row_from(const Json& j) {
  RegionRow row;
  row.source = j.at("source").get<std::string>();
  row.ms = amount(j, "ms");
  row.spread_ms = amount(j, "spread_ms");
  row.kernel = j.at("kernel").get<std::string>();
  row.facts = facts_from(j.at("facts"));
  return row;
}

}  // namespace espalier
