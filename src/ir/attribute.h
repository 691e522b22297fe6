// Operator attributes: generic values as files carry them, and the typed, immutable struct a room
// works with.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <typeinfo>
#include <variant>
#include <vector>

#include "base/error.h"
#include "ir/type.h"
#include "tensor/tensor.h"

namespace espalier {

class Graph;
using GraphRef = std::shared_ptr<const Graph>;

/// An attribute as ONNX and the text form carry it.
using AttributeValue = std::variant<int64_t, float, std::string, Tensor, std::vector<int64_t>,
                                    std::vector<float>, std::vector<std::string>, GraphRef, Type>;
using AttributeMap = std::map<std::string, AttributeValue>;

/// A room's attribute struct, type-erased, shared and immutable.
class Attributes {
 public:
  Attributes() = default;
  template <class A>
  static Attributes of(A a) {
    Attributes r;
    r.data_ = std::make_shared<const A>(std::move(a));
    r.type_ = &typeid(A);
    return r;
  }
  template <class A>
  const A& as() const {
    ESP_CHECK(type_ && *type_ == typeid(A), "attributes read as another operator's");
    return *static_cast<const A*>(data_.get());
  }
  bool empty() const { return !data_; }

 private:
  std::shared_ptr<const void> data_;
  const std::type_info* type_ = nullptr;
};

}  // namespace espalier
