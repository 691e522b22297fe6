// YAML as recipes and definitions read it: values that remember the file and line they stood on,
// and maps whose keys are all accounted for. An unknown key is an error with its line, never
// ignored.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/suggest.h"

namespace espalier {

/// A YAML value and its place.
class Yaml {
 public:
  enum class Kind : uint8_t { kNull, kScalar, kList, kMap };

  /// The first document of a file or text. UserError with file:line for anything YAML refuses, for
  /// a key given twice, and for aliases that unfold beyond a million values.
  static Yaml load(const std::filesystem::path& path);
  static Yaml parse(std::string_view text, const std::string& file);
  /// A plain scalar that stands where `place` stands.
  static Yaml scalar(std::string text, const Yaml& place);
  /// A plain scalar that an argument of the command line puts where `place` stands. Its errors name
  /// the argument and are of usage.
  static Yaml argument(std::string text, const std::string& argument, const Yaml& place);
  /// An empty map that stands where `place` stands.
  static Yaml empty_map(const Yaml& place);

  Kind kind() const { return kind_; }
  bool is_null() const { return kind_ == Kind::kNull; }
  bool is_scalar() const { return kind_ == Kind::kScalar; }
  bool is_list() const { return kind_ == Kind::kList; }
  bool is_map() const { return kind_ == Kind::kMap; }

  /// "recipes/zoo/lenet5.yaml:12", or the argument that set it.
  std::string where() const;
  /// The file it stands in, as it was named.
  const std::string& file() const { return *file_; }
  bool is_argument() const { return argument_ != nullptr; }
  /// UserError at this place: bad input in a file, usage in an argument.
  [[noreturn]] void fail(std::string what, std::string hint = "") const;

  /// The scalar's text as written. UserError for lists and maps.
  const std::string& text() const;
  int64_t integer() const;
  double number() const;
  bool boolean() const;
  /// Elements of a list. UserError otherwise.
  const std::vector<Yaml>& items() const;
  std::vector<Yaml>& items();
  /// Keys (scalars) and values of a map, in order. UserError otherwise.
  const std::vector<std::pair<Yaml, Yaml>>& entries() const;
  std::vector<std::pair<Yaml, Yaml>>& entries();
  /// The value of a key of a map, or null.
  const Yaml* find(std::string_view key) const;
  /// Sets a key of a map to a plain scalar, adding it where it is missing.
  void set(std::string_view key, std::string text);
  /// Sets a key of a map, adding it where it is missing; an added key stands where its value does.
  void set(std::string_view key, Yaml value);

  /// YAML text that reads back as this value.
  std::string dump() const;

 private:
  friend class YamlReader;
  Kind kind_ = Kind::kNull;
  bool quoted_ = false;
  int line_ = 0;
  std::string text_;
  std::vector<Yaml> items_;
  std::vector<std::pair<Yaml, Yaml>> entries_;
  std::shared_ptr<const std::string> file_, argument_;
};

/// Reads a map key by key. done() refuses the keys nobody asked for.
class Fields {
 public:
  /// `what` names the map in messages ("conv", "training"). A null value reads as an empty map.
  /// The map must outlive the reader.
  Fields(const Yaml& map, std::string what);

  /// The value of `key`, or null where it is missing.
  const Yaml* find(std::string_view key);
  /// UserError at the map where `key` is missing, with the key that may be a misspelling of it.
  const Yaml& require(std::string_view key);

  static constexpr int64_t kMaxInt = std::numeric_limits<int64_t>::max();
  /// UserError with the value's line when it lies outside [lo, hi].
  int64_t integer(std::string_view key, int64_t fallback, int64_t lo = 0, int64_t hi = kMaxInt);
  int64_t require_integer(std::string_view key, int64_t lo = 0, int64_t hi = kMaxInt);
  double number(std::string_view key, double fallback,
                double lo = -std::numeric_limits<double>::infinity(),
                double hi = std::numeric_limits<double>::infinity());
  bool boolean(std::string_view key, bool fallback);
  std::string string(std::string_view key, std::string fallback);
  std::string require_string(std::string_view key);
  /// The index in `choices` of the value; `fallback` where the key is missing.
  size_t choice(std::string_view key, size_t fallback, const std::vector<std::string>& choices);

  /// UserError with the line of the first key nobody asked for.
  void done() const;
  /// The map itself, for messages.
  const Yaml& map() const { return map_; }
  const std::string& what() const { return what_; }

 private:
  const Yaml& map_;
  std::string what_;
  std::vector<std::string> asked_;
};

}  // namespace espalier
