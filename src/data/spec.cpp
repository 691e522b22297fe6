#include "data/spec.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <functional>
#include <set>

#include "data/source.h"

namespace espalier {
namespace {

UserError bad_value(const std::string& key, const std::string& value, const std::string& expected) {
  return usage_error(key + "=" + value, "is not " + expected);
}

template <class T>
T parse_number(const std::string& key, const std::string& value, T least, T most,
               const std::string& expected) {
  T number{};
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size() || !(number >= least) ||
      !(number <= most))
    throw bad_value(key, value, expected);
  return number;
}

constexpr int64_t kMany = int64_t{1} << 40;

/// Where a definition with one unit per class stops being sane.
constexpr int64_t kMostClasses = int64_t{1} << 24;

int64_t whole(const std::string& key, const std::string& value, int64_t least,
              int64_t most = kMany) {
  const std::string bounds =
      most == kMany ? "of at least " + std::to_string(least)
                    : "between " + std::to_string(least) + " and " + std::to_string(most);
  return parse_number<int64_t>(key, value, least, most, "a whole number " + bounds);
}

double fraction(const std::string& key, const std::string& value) {
  return parse_number<double>(key, value, 0.0, 0.9, "a fraction between 0 and 0.9");
}

template <class T>
T choose(const std::string& key, const std::string& value,
         const std::vector<std::pair<std::string, T>>& choices) {
  std::string known;
  for (const auto& [name, result] : choices) {
    if (name == value) return result;
    known += (known.empty() ? "" : ", ") + name;
  }
  throw bad_value(key, value, "one of " + known);
}

const std::vector<std::pair<std::string, Split>> kSplits = {
    {"train", Split::train}, {"val", Split::val}, {"test", Split::test}, {"all", Split::all}};
const std::vector<std::pair<std::string, PictureLayout>> kLayouts = {{"nchw", PictureLayout::nchw},
                                                                     {"nhwc", PictureLayout::nhwc}};
const std::vector<std::pair<std::string, bool>> kSwitch = {{"on", true}, {"off", false}};

void set_size(DataSpec& spec, const std::string& value) {
  constexpr int64_t kLargest = 16384;
  const std::string expected =
      "a size such as 224 or 96x128 (height x width), at most " + std::to_string(kLargest);
  const auto extent = [&](const std::string& text) {
    try {
      return parse_number<int64_t>("resize", text, 1, kLargest, expected);
    } catch (const UserError&) {
      throw bad_value("resize", value, expected);
    }
  };
  const size_t cross = value.find('x');
  spec.height = extent(value.substr(0, cross));
  spec.width = cross == value.npos ? spec.height : extent(value.substr(cross + 1));
}

std::string shortest(double value) {
  char text[32];
  const auto result = std::to_chars(text, text + sizeof text, value);
  return {text, result.ptr};
}

}  // namespace

std::string_view name_of(Split split) {
  return std::find_if(kSplits.begin(), kSplits.end(),
                      [&](const auto& s) { return s.second == split; })
      ->first;
}

void DataSpec::set(const std::string& key, const std::string& value) {
  if (key == "split") {
    split = choose(key, value, kSplits);
  } else if (key == "limit") {
    limit = whole(key, value, 1);
  } else if (key == "normalize") {
    normalize = value;
    // The channels are not known yet; a list is checked against them once data is there.
    if (!is_standard_normalization(value) && value.find(',') == value.npos)
      parse_normalization(value, DType::u8, 3);
  } else if (key == "layout") {
    layout = choose(key, value, kLayouts);
  } else if (key == "resize") {
    set_size(*this, value);
  } else if (key == "val") {
    val = fraction(key, value);
  } else if (key == "test") {
    test = fraction(key, value);
  } else if (key == "classes") {
    classes = whole(key, value, 1, kMostClasses);
  } else if (key == "cache") {
    cache = choose(key, value, kSwitch);
  } else {
    const DataKind& known = find_data_kind(kind);
    const bool own = std::any_of(known.keys.begin(), known.keys.end(),
                                 [&](const DataKey& k) { return k.name == key; });
    if (!own) {
      std::string names;
      for (const auto* list : {&common_data_keys(), &known.keys})
        for (const DataKey& k : *list) names += std::string(names.empty() ? "" : ", ") + k.name;
      throw usage_error("data kind '" + kind + "'", "has no key '" + key + "'",
                        "keys are " + names);
    }
    extra[key] = value;
  }
}

DataSpec DataSpec::parse(const std::string& text) {
  DataSpec spec;
  const size_t colon = text.find(':');
  if (colon == text.npos)
    throw usage_error("data spec '" + text + "'", "has no kind",
                      "write kind:path, as in idx:data/mnist");
  spec.kind = find_data_kind(text.substr(0, colon)).name;
  const size_t question = text.find('?', colon);
  spec.path = text.substr(colon + 1, question == text.npos ? text.npos : question - colon - 1);
  if (spec.path.empty()) throw usage_error("data spec '" + text + "'", "has no path");
  if (question == text.npos) return spec;
  std::string rest = text.substr(question + 1);
  std::set<std::string> seen;
  while (!rest.empty()) {
    const size_t end = rest.find('&');
    const std::string pair = rest.substr(0, end);
    const size_t equals = pair.find('=');
    if (equals == pair.npos || equals == 0)
      throw usage_error("data spec '" + text + "'", "'" + pair + "' is not key=value");
    const std::string key = pair.substr(0, equals);
    if (!seen.insert(key).second)
      throw usage_error("data spec '" + text + "'", "gives '" + key + "' twice");
    spec.set(key, pair.substr(equals + 1));
    rest = end == rest.npos ? "" : rest.substr(end + 1);
  }
  return spec;
}

std::string DataSpec::text() const {
  const DataSpec defaults;
  std::string keys;
  const auto add = [&](const std::string& key, const std::string& value) {
    keys += (keys.empty() ? "?" : "&") + key + "=" + value;
  };
  if (split) add("split", std::string(name_of(*split)));
  if (limit > 0) add("limit", std::to_string(limit));
  if (!normalize.empty()) add("normalize", normalize);
  if (layout != defaults.layout) add("layout", "nhwc");
  if (height > 0)
    add("resize", height == width ? std::to_string(height)
                                  : std::to_string(height) + "x" + std::to_string(width));
  if (val != defaults.val) add("val", shortest(val));
  if (test != defaults.test) add("test", shortest(test));
  if (classes > 0) add("classes", std::to_string(classes));
  if (!cache) add("cache", "off");
  for (const auto& [key, value] : extra) add(key, value);
  return kind + ":" + path + keys;
}

DataSpec DataSpec::with_split(Split s) const {
  DataSpec copy = *this;
  copy.split = s;
  return copy;
}

std::string DataSpec::option(const std::string& key, const std::string& otherwise) const {
  const auto found = extra.find(key);
  return found == extra.end() ? otherwise : found->second;
}

int64_t DataSpec::int_option(const std::string& key, int64_t otherwise, int64_t least) const {
  const auto found = extra.find(key);
  return found == extra.end() ? otherwise : whole(key, found->second, least);
}

}  // namespace espalier
