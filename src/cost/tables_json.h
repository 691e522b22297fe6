// The parts of files about cost as JSON; private to cost/.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "cost/tables.h"

namespace espalier {

using Json = nlohmann::ordered_json;

inline constexpr const char* kMeasureAgain = "run espalier calibrate --overwrite";

/// A file's object whose `key` holds `version`. UserError naming `where` otherwise.
Json parsed_file(std::string_view text, const std::string& where, const char* key, int version);
/// On one line, bytes that are no UTF-8 replaced.
std::string dumped(const Json& j);

// The readers throw what the JSON library throws, or UserError, where something is missing or
// cannot be.
Json machine_json(const MachineId& machine);
MachineId machine_from(const Json& j);
Json peaks_json(const MachinePeaks& peaks);
MachinePeaks peaks_from(const Json& j);
Json facts_json(const RegionFacts& facts);
RegionFacts facts_from(const Json& j);
Json row_json(const RegionRow& row);
RegionRow row_from(const Json& j);

}  // namespace espalier
