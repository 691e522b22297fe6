#include "train/setting.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "base/error.h"

namespace espalier {

std::map<std::string, double> all_settings(std::span<const Setting> known,
                                           const std::map<std::string, double>& chosen) {
  std::map<std::string, double> all = chosen;
  for (const Setting& s : known) all.try_emplace(s.name, s.fallback);
  return all;
}

std::string settings_text(const std::string& name, std::span<const Setting> known,
                          const std::map<std::string, double>& chosen) {
  std::ostringstream out;
  out.precision(17);
  out << name;
  for (const auto& [key, value] : all_settings(known, chosen)) out << "," << key << "=" << value;
  return out.str();
}

void check_settings(const std::string& where, const std::string& owner,
                    std::span<const Setting> known, const std::map<std::string, double>& chosen) {
  for (const auto& [name, value] : chosen) {
    const auto found =
        std::ranges::find_if(known, [&](const Setting& s) { return name == s.name; });
    if (found == known.end()) throw bad_input(where, owner + " has no setting '" + name + "'");
    if (!(value >= found->least && value <= found->most)) {
      std::ostringstream bounds;
      bounds << name << " must lie between " << found->least << " and " << found->most;
      throw bad_input(where, bounds.str());
    }
    if ((found->whole || !found->words.empty()) && value != std::floor(value))
      throw bad_input(where, name + " must be a whole number");
  }
}

}  // namespace espalier
