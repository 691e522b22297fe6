// Hints at what a misspelt name may have meant.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace espalier {

/// Letters to insert, remove or replace to make one of the other (Levenshtein).
size_t edit_distance(std::string_view a, std::string_view b);
/// How many letters may differ in what is still taken for a misspelling.
size_t misspelling_tolerance(std::string_view name);
/// The nearest of `known` to a misspelt `name`, as a hint ("did you mean 'x'?"), or a list of all.
std::string suggestion(std::string_view name, const std::vector<std::string>& known);

/// Whether `text` is what `pattern` stands for: '*' is any letters or none, dots among them, '?'
/// one letter, anything else itself.
bool matches_pattern(std::string_view pattern, std::string_view text);
/// Those of `names` that a pattern without matches may have meant, nearest first, at most `most`:
/// what a name begins with up to a dot counts as well as the whole.
std::vector<std::string> nearest_names(std::string_view pattern,
                                       const std::vector<std::string>& names, size_t most);

}  // namespace espalier
