// The JSON part of an inference request, read in one pass: everything as a small document, except
// the "data" of inputs, whose elements go into flat arrays. A document tree of millions of numbers
// would take twenty times the memory.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/tensor.h"

namespace espalier::serve {

/// The elements of one "data" array, nested or flat.
class JsonElements {
 public:
  enum class Kind : uint8_t { integer, natural, real, boolean, text };

  // Filled by the parser; `where` names the array in errors.
  void begin_array(const std::string& where);
  void end_array(const std::string& where);
  void add(Kind kind, uint64_t bits, const std::string& where);
  void add_text(std::string text, const std::string& where);

  int64_t size() const { return int64_t(bits_.size()); }
  /// The elements as a tensor: nested arrays must be nested as `shape` says. UserError names
  /// the element that is not of the type.
  Tensor to_tensor(DType dtype, const Shape& shape, const std::string& where) const;

 private:
  double real(size_t i) const;
  template <class T>
  T element(size_t i, const std::string& where) const;
  UserError unfit(size_t i, DType dtype, const std::string& where) const;
  void check_nesting(const Shape& shape, const std::string& where) const;

  std::vector<uint64_t> bits_;  // the number, or an index into texts_
  std::vector<Kind> kinds_;
  std::vector<std::string> texts_;
  std::vector<int64_t> open_;     // elements so far of each array that is open
  std::vector<int64_t> extents_;  // of each level; -1 not known yet
  size_t depth_ = 0;              // of the elements; 0 not known yet
};

struct JsonBody {
  /// Without the data: in its place stands its number in `data`.
  nlohmann::json document;
  std::vector<JsonElements> data;
};

/// UserError for what is no JSON (with the byte), for keys given twice, for nesting and documents
/// beyond reason; Rejection 413 when the data has more than `most_elements`.
JsonBody parse_json_body(std::string_view text, int64_t most_elements);

}  // namespace espalier::serve
