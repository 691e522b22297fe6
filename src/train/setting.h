// Numbers that steer an exchangeable unit of training (an optimiser, a rule): what there is, what
// was chosen, and how that is checked and written down.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

namespace espalier {

struct Setting {
  const char* name;
  double fallback;
  double least, most;
  const char* what;
  bool flag = false;   ///< 0 or 1, written false or true
  bool whole = false;  ///< a whole number
  /// Values by name: the first is 0, and so on.
  std::vector<const char*> words = {};
};

/// The chosen values and, for the rest, the settings' own.
std::map<std::string, double> all_settings(std::span<const Setting> known,
                                           const std::map<std::string, double>& chosen);
/// "NAME,one=0.9,two=1": what a resumed run must agree on.
std::string settings_text(const std::string& name, std::span<const Setting> known,
                          const std::map<std::string, double>& chosen);
/// UserError at `where` for a setting that `owner` ("optimizer 'sgd'") does not have, or a value
/// outside its bounds.
void check_settings(const std::string& where, const std::string& owner,
                    std::span<const Setting> known, const std::map<std::string, double>& chosen);

}  // namespace espalier
