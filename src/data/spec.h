// The text that names data: kind:path[?key=value&…]. Recipes use the same keys.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "data/dataset.h"

namespace espalier {

enum class Split {
  train,  ///< without the validation part
  val,
  test,
  all,
};
std::string_view name_of(Split split);

struct DataSpec {
  std::string kind, path;
  std::optional<Split> split;
  int64_t limit = 0;      ///< at most this many samples of the split; 0 for all
  std::string normalize;  ///< see data/normalize.h; empty for the default
  PictureLayout layout = PictureLayout::nchw;
  int64_t height = 0, width = 0;  ///< of resized pictures; 0 keeps the size
  double val = 0.1;               ///< part of the training samples held out for validation
  double test = 0.1;    ///< part of all samples held out for testing where the source names none
  int64_t classes = 0;  ///< number of classes when larger than the labels show; 0 to count
  bool cache = true;    ///< keep what was decoded or generated in the cache folder
  std::map<std::string, std::string> extra;  ///< keys that belong to the kind

  /// Throws UserError(usage) for an unknown kind, key or value, listing what is known, and for a
  /// key given twice.
  static DataSpec parse(const std::string& text);
  /// Sets one key as `parse` does.
  void set(const std::string& key, const std::string& value);
  /// The text that parses back to this.
  std::string text() const;
  DataSpec with_split(Split s) const;

  /// A key of the kind, or `otherwise`.
  std::string option(const std::string& key, const std::string& otherwise = "") const;
  /// The same as a whole number of at least `least`.
  int64_t int_option(const std::string& key, int64_t otherwise, int64_t least) const;
};

}  // namespace espalier
