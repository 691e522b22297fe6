// Reading a node's attributes by name, for binders that serve operators by name.
#pragma once

#include <string>
#include <vector>

#include "ir/room.h"

namespace espalier::bind {

class AttributeReader {
 public:
  AttributeReader(const Room& room, const Attributes& attrs) : map_(room.print(attrs, true)) {}

  template <class T>
  T get(const std::string& name, T otherwise) const {
    const auto found = map_.find(name);
    if (found == map_.end()) return otherwise;
    const T* value = std::get_if<T>(&found->second);
    return value ? *value : otherwise;
  }
  int64_t integer(const std::string& name, int64_t otherwise) const {
    return get<int64_t>(name, otherwise);
  }
  /// A list; `count` times `otherwise` where it is absent or empty.
  std::vector<int64_t> list(const std::string& name, size_t count, int64_t otherwise) const {
    auto v = get<std::vector<int64_t>>(name, {});
    return v.empty() ? std::vector<int64_t>(count, otherwise) : v;
  }

 private:
  AttributeMap map_;
};

/// Strides, dilations and resolved padding of a sliding window; `kernel` its spatial extents.
struct Window {
  std::vector<int64_t> strides, dilations, begin, end;
};
Window window_of(const AttributeReader& a, const Shape& x, const Shape& kernel, const Shape& y);

}  // namespace espalier::bind
