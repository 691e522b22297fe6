// Amounts with units, as recipes and options write them.
#pragma once

#include <map>
#include <string>

namespace espalier {

/// What one of each unit is; the empty name stands for a number alone.
using Units = std::map<std::string, double>;

/// "us", "ms" and "s", in milliseconds.
const Units& time_units();
/// "B", "kB", "MB", "GB", of 1000, and "KiB", "MiB", "GiB", of 1024.
const Units& byte_units();

/// "1.5ms" as a number of what the units count. UserError (usage) for anything that is no positive
/// amount; `hint` is given where there are no units to name.
double quantity(const std::string& where, const std::string& text, const Units& units,
                const std::string& hint = "");

}  // namespace espalier
