#include "base/suggest.h"

#include <algorithm>
#include <numeric>

namespace espalier {

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replace = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replace, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row[b.size()];
}

size_t misspelling_tolerance(std::string_view name) { return std::max<size_t>(2, name.size() / 3); }

std::string suggestion(std::string_view name, const std::vector<std::string>& known) {
  const std::string* best = nullptr;
  size_t distance = misspelling_tolerance(name) + 1;
  for (const std::string& k : known)
    if (const size_t d = edit_distance(name, k); d < distance) {
      distance = d;
      best = &k;
    }
  if (best) return "did you mean '" + *best + "'?";
  std::string all;
  for (const std::string& k : known) all += (all.empty() ? "" : ", ") + k;
  return all.empty() ? "it takes no keys" : "known: " + all;
}

bool matches_pattern(std::string_view pattern, std::string_view text) {
  size_t p = 0, t = 0, star = std::string_view::npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::vector<std::string> nearest_names(std::string_view pattern,
                                       const std::vector<std::string>& names, size_t most) {
  std::string letters;
  for (char c : pattern)
    if (c != '*' && c != '?') letters += c;
  while (letters.ends_with('.')) letters.pop_back();
  std::vector<std::pair<size_t, std::string>> by_distance;
  for (const std::string& name : names) {
    size_t best = edit_distance(letters, name);
    for (size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1))
      best = std::min(best, edit_distance(letters, name.substr(0, dot)));
    by_distance.emplace_back(best, name);
  }
  std::ranges::stable_sort(by_distance, {}, &std::pair<size_t, std::string>::first);
  std::vector<std::string> nearest;
  for (size_t i = 0; i < std::min(most, by_distance.size()); ++i)
    nearest.push_back(by_distance[i].second);
  return nearest;
}

}  // namespace espalier
