// Where the files behind a data spec lie.
#pragma once

#include <filesystem>
#include <string>

namespace espalier {

/// A relative path is taken from the current folder; what is not there is looked for beside
/// `recipe` (if one names it), below $ESPALIER_DATA, and in folders shared/data beside the recipe's
/// ancestors. UserError (bad input) naming these places when it is in none of them.
std::string locate_data(const std::string& path, const std::filesystem::path& recipe = {});

}  // namespace espalier
