#include "serve/json_body.h"

#include <bit>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "serve/datatype.h"
#include "serve/message.h"

namespace espalier::serve {
namespace {

using nlohmann::json;

constexpr size_t kDeepest = 16;          // arrays and objects within each other
constexpr size_t kMostValues = 1 << 16;  // outside of data

/// The text of non-finite floats, which JSON has no numbers for.
std::optional<double> non_finite(const std::string& text) {
  if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (text == "Infinity") return std::numeric_limits<double>::infinity();
  if (text == "-Infinity") return -std::numeric_limits<double>::infinity();
  return std::nullopt;
}

/// Events of the parser to a document and arrays of elements.
class Reader {
 public:
  explicit Reader(int64_t most_elements) : most_elements_(most_elements) {}

  JsonBody take() && { return std::move(body_); }

  bool null() { return leaf(nullptr); }
  bool boolean(bool v) {
    return collecting() ? element(JsonElements::Kind::boolean, uint64_t(v)) : leaf(v);
  }
  bool number_integer(int64_t v) {
    return collecting() ? element(JsonElements::Kind::integer, uint64_t(v)) : leaf(v);
  }
  bool number_unsigned(uint64_t v) {
    return collecting() ? element(JsonElements::Kind::natural, v) : leaf(v);
  }
  bool number_float(double v, const std::string&) {
    return collecting() ? element(JsonElements::Kind::real, std::bit_cast<uint64_t>(v)) : leaf(v);
  }
  bool string(std::string& v) {
    if (!collecting()) return leaf(std::move(v));
    count_element();
    body_.data.back().add_text(std::move(v), where_);
    return true;
  }
  bool binary(json::binary_t&) { return false; }  // JSON has none

  bool start_object(size_t) {
    if (collecting()) throw bad_input(where_, "holds an object");
    return open(json::object());
  }
  bool key(std::string& v) {
    json& object = *stack_.back();
    if (object.contains(v)) throw bad_input(place(), "has '" + v + "' twice");
    key_ = v;
    return true;
  }
  bool end_object() { return close(); }
  bool start_array(size_t) {
    if (collecting()) {
      if (++data_depth_ > kDeepest) throw bad_input(where_, "is nested too deeply");
      body_.data.back().begin_array(where_);
      return true;
    }
    // inputs[i].data: the stack holds the request, its inputs and one of them.
    if (stack_.size() == 3 && key_ == "data" && stack_[2]->is_object() && in_inputs()) {
      where_ = "inputs[" + std::to_string(stack_[1]->size() - 1) + "].data";
      leaf(body_.data.size());
      body_.data.emplace_back();
      body_.data.back().begin_array(where_);
      data_depth_ = 1;
      return true;
    }
    return open(json::array());
  }
  bool end_array() {
    if (!collecting()) return close();
    --data_depth_;
    body_.data.back().end_array(where_);
    return true;
  }

  bool parse_error(size_t position, const std::string&, const json::exception& e) {
    if (dynamic_cast<const json::out_of_range*>(&e))
      throw bad_input("body",
                      "has a number at byte " + std::to_string(position) + " that is too large");
    throw bad_input("body", "is no JSON at byte " + std::to_string(position));
  }

 private:
  bool collecting() const { return data_depth_ > 0; }
  bool in_inputs() const {
    const auto inputs = body_.document.find("inputs");
    return inputs != body_.document.end() && &*inputs == stack_[1];
  }

  void count_element() {
    if (++elements_ > most_elements_)
      throw Rejection(413, where_ + ": the inputs have more than " +
                               std::to_string(most_elements_) + " elements");
  }
  bool element(JsonElements::Kind kind, uint64_t bits) {
    count_element();
    body_.data.back().add(kind, bits, where_);
    return true;
  }

  /// "inputs[0]" and the like; "body" for the request itself.
  std::string place() const {
    if (stack_.size() <= 1) return "body";
    if (stack_.size() >= 3 && in_inputs())
      return "inputs[" + std::to_string(stack_[1]->size() - 1) + "]";
    return "body";
  }

  json* add(json value) {
    if (collecting()) throw bad_input(where_, "holds null");
    if (++values_ > kMostValues)
      throw bad_input("body",
                      "has more than " + std::to_string(kMostValues) + " values outside of data");
    if (stack_.empty()) return &(body_.document = std::move(value));
    json& parent = *stack_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    return &(parent[key_] = std::move(value));
  }
  bool leaf(json value) {
    add(std::move(value));
    return true;
  }
  bool open(json value) {
    if (stack_.size() >= kDeepest) throw bad_input(place(), "is nested too deeply");
    stack_.push_back(add(std::move(value)));
    return true;
  }
  bool close() {
    stack_.pop_back();
    return true;
  }

  JsonBody body_;
  std::vector<json*> stack_;  // objects and arrays that are open; parents do not grow meanwhile
  std::string key_, where_;
  size_t data_depth_ = 0, values_ = 0;
  int64_t elements_ = 0;
  const int64_t most_elements_;
};

}  // namespace

void JsonElements::begin_array(const std::string& where) {
  if (depth_ != 0 && open_.size() >= depth_) throw bad_input(where, "is nested unevenly");
  if (!open_.empty()) ++open_.back();
  open_.push_back(0);
  if (extents_.size() < open_.size()) extents_.push_back(-1);
}

void JsonElements::end_array(const std::string& where) {
  int64_t& extent = extents_[open_.size() - 1];
  if (extent >= 0 && extent != open_.back())
    throw bad_input(where, "has rows of " + std::to_string(extent) + " and of " +
                               std::to_string(open_.back()) + " elements");
  extent = open_.back();
  open_.pop_back();
}

void JsonElements::add(Kind kind, uint64_t bits, const std::string& where) {
  if (depth_ == 0) depth_ = open_.size();
  if (open_.size() != depth_ || extents_.size() != depth_)
    throw bad_input(where, "is nested unevenly");
  ++open_.back();
  kinds_.push_back(kind);
  bits_.push_back(bits);
}

void JsonElements::add_text(std::string text, const std::string& where) {
  add(Kind::text, texts_.size(), where);
  texts_.push_back(std::move(text));
}

double JsonElements::real(size_t i) const {
  switch (kinds_[i]) {
    case Kind::real: return std::bit_cast<double>(bits_[i]);
    case Kind::natural: return double(bits_[i]);
    default: return double(int64_t(bits_[i]));
  }
}

UserError JsonElements::unfit(size_t i, DType dtype, const std::string& where) const {
  std::string given;
  if (kinds_[i] == Kind::text)
    given = "a string";
  else if (kinds_[i] == Kind::boolean)
    given = bits_[i] ? "true" : "false";
  else
    given = json(real(i)).dump();
  if (kinds_[i] == Kind::integer) given = std::to_string(int64_t(bits_[i]));
  if (kinds_[i] == Kind::natural) given = std::to_string(bits_[i]);
  return bad_input(where + "[" + std::to_string(i) + "]",
                   "is " + given + ", no " + std::string(datatype_of(dtype)));
}

template <class T>
T JsonElements::element(size_t i, const std::string& where) const {
  const Kind kind = kinds_[i];
  constexpr DType dtype = dtype_of<T>::value;
  if constexpr (std::is_same_v<T, bool>) {
    if (kind != Kind::boolean && !(kind == Kind::natural && bits_[i] <= 1))
      throw unfit(i, dtype, where);
    return bits_[i] != 0;
  } else if constexpr (std::is_integral_v<T>) {
    if (kind == Kind::natural && bits_[i] <= uint64_t(std::numeric_limits<T>::max()))
      return T(bits_[i]);
    // What is negative and not below the least; the parser gives other numbers as naturals.
    if (kind == Kind::integer && std::is_signed_v<T> &&
        int64_t(bits_[i]) >= int64_t(std::numeric_limits<T>::min()))
      return T(int64_t(bits_[i]));
    throw unfit(i, dtype, where);
  } else {
    if (kind == Kind::text) {
      const auto special = non_finite(texts_[size_t(bits_[i])]);
      if (!special) throw unfit(i, dtype, where);
      return convert_element<T>(*special);
    }
    if (kind == Kind::boolean) throw unfit(i, dtype, where);
    const double wide = real(i);
    const T narrow = convert_element<T>(wide);
    if (!std::isfinite(convert_element<double>(narrow))) throw unfit(i, dtype, where);
    return narrow;
  }
}

void JsonElements::check_nesting(const Shape& shape, const std::string& where) const {
  if (extents_.size() <= 1) {
    if (size() != numel(shape))
      throw bad_input(where, "has " + std::to_string(size()) + " elements, the shape " +
                                 to_string(shape) + " wants " + std::to_string(numel(shape)));
    return;
  }
  if (extents_ != shape)
    throw bad_input(where,
                    "is nested as " + to_string(extents_) + ", the shape is " + to_string(shape));
}

Tensor JsonElements::to_tensor(DType dtype, const Shape& shape, const std::string& where) const {
  check_nesting(shape, where);
  Tensor tensor(dtype, shape);
  if (dtype == DType::string) {
    auto* out = tensor.mutable_data<std::string>();
    for (size_t i = 0; i < bits_.size(); ++i) {
      if (kinds_[i] != Kind::text) throw unfit(i, dtype, where);
      out[i] = texts_[size_t(bits_[i])];
    }
    return tensor;
  }
  visit_numeric(dtype, [&](auto tag) {
    using T = decltype(tag);
    T* out = tensor.mutable_data<T>();
    for (size_t i = 0; i < bits_.size(); ++i) out[i] = element<T>(i, where);
  });
  return tensor;
}

JsonBody parse_json_body(std::string_view text, int64_t most_elements) {
  Reader reader(most_elements);
  json::sax_parse(text, &reader);
  return std::move(reader).take();
}

}  // namespace espalier::serve
