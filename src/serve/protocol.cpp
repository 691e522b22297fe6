// Inference requests from bytes; protocol_encode.cpp writes the answers.
#include "serve/protocol.h"

#include <charconv>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "serve/datatype.h"
#include "serve/json_body.h"
#include "serve/message.h"

namespace espalier::serve {
namespace {

using nlohmann::json;

constexpr size_t kLargestRank = 16;
constexpr size_t kMostTensors = 1024;

/// A name of the client's in a message: its first characters.
std::string quoted(const std::string& name) {
  constexpr size_t kShown = 100;
  return "'" + (name.size() <= kShown ? name : name.substr(0, kShown) + "…") + "'";
}

/// One JSON object whose fields are taken by name; what is left over is an error.
class Fields {
 public:
  Fields(const json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) throw bad_input(where_.empty() ? "body" : where_, "is no JSON object");
  }

  std::string place(const std::string& key) const {
    return where_.empty() ? key : where_ + "." + key;
  }
  const json* find(const std::string& key) {
    known_.insert(key);
    const auto it = object_.find(key);
    return it == object_.end() ? nullptr : &*it;
  }
  const json& need(const std::string& key) {
    const json* value = find(key);
    if (!value) throw bad_input(place(key), "is missing");
    return *value;
  }
  std::string text(const std::string& key) {
    const json& value = need(key);
    if (!value.is_string()) throw bad_input(place(key), "is no string");
    return value.get<std::string>();
  }
  std::string name() {
    std::string name = text("name");
    if (name.empty()) throw bad_input(place("name"), "is empty");
    return name;
  }
  std::optional<bool> flag(const std::string& key) {
    const json* value = find(key);
    if (!value) return std::nullopt;
    if (!value->is_boolean()) throw bad_input(place(key), "is neither true nor false");
    return value->get<bool>();
  }
  std::optional<int64_t> whole(const std::string& key, int64_t most) {
    const json* value = find(key);
    if (!value) return std::nullopt;
    if (!value->is_number_unsigned() || value->get<uint64_t>() > uint64_t(most))
      throw bad_input(place(key), "is no whole number from 0 to " + std::to_string(most));
    return value->get<int64_t>();
  }
  /// The list of that name; empty when it may be left out and is.
  const json& list(const std::string& key, bool needed) {
    static const json kNone = json::array();
    const json* value = needed ? &need(key) : find(key);
    if (!value) return kNone;
    if (!value->is_array()) throw bad_input(place(key), "is no array");
    if (value->size() > kMostTensors)
      throw bad_input(place(key), "has more than " + std::to_string(kMostTensors) + " entries");
    return *value;
  }
  /// The parameters; those that this server does not know are the client's own business.
  Fields parameters() {
    static const json kNone = json::object();
    const json* value = find("parameters");
    return {value ? *value : kNone, place("parameters")};
  }
  void refuse_others() const {
    for (const auto& [key, value] : object_.items())
      if (!known_.contains(key))
        throw bad_input(where_.empty() ? "body" : where_, "has the unknown field " + quoted(key));
  }

 private:
  const json& object_;
  std::string where_;
  std::set<std::string> known_;
};

Shape read_shape(const json& list, const std::string& where, int64_t most_elements) {
  if (!list.is_array()) throw bad_input(where, "is no array");
  if (list.size() > kLargestRank)
    throw bad_input(where, "has more than " + std::to_string(kLargestRank) + " extents");
  Shape shape;
  int64_t elements = 1;
  bool empty = false;
  for (const json& extent : list) {
    const std::string at = where + "[" + std::to_string(shape.size()) + "]";
    if (!extent.is_number_unsigned() || extent.get<uint64_t>() > uint64_t{1} << 40)
      throw bad_input(at, "is no extent");
    shape.push_back(extent.get<int64_t>());
    empty = empty || shape.back() == 0;
  }
  for (int64_t extent : shape) {
    if (empty) break;
    if (extent > most_elements / elements)
      throw Rejection(413,
                      where + ": has more than " + std::to_string(most_elements) + " elements");
    elements *= extent;
  }
  return shape;
}

/// BYTES: each element behind its length.
Tensor strings_from(std::string_view bytes, const Shape& shape, const std::string& where) {
  // Before memory for them is taken: each costs four bytes at least.
  if (uint64_t(numel(shape)) > bytes.size() / 4)
    throw bad_input(where, "has too few bytes for the elements of its shape");
  Tensor tensor(DType::string, shape);
  auto* out = tensor.mutable_data<std::string>();
  for (int64_t i = 0; i < tensor.size(); ++i) {
    uint32_t length = 0;
    if (bytes.size() >= 4) std::memcpy(&length, bytes.data(), 4);
    if (bytes.size() < 4 || bytes.size() - 4 < length)
      throw bad_input(where, "ends within element " + std::to_string(i));
    out[i] = bytes.substr(4, length);
    bytes.remove_prefix(4 + size_t(length));
  }
  if (!bytes.empty())
    throw bad_input(where, "has " + std::to_string(bytes.size()) + " bytes after its last element");
  return tensor;
}

Tensor tensor_from(std::string_view bytes, DType dtype, const Shape& shape,
                   const std::string& where) {
  if (dtype == DType::string) return strings_from(bytes, shape, where);
  const uint64_t wanted = uint64_t(numel(shape)) * size_of(dtype);
  if (bytes.size() != wanted)
    throw bad_input(where, "is " + std::to_string(bytes.size()) + " bytes, " +
                               std::string(datatype_of(dtype)) + " " + to_string(shape) + " is " +
                               std::to_string(wanted));
  if (dtype == DType::boolean)
    for (size_t i = 0; i < bytes.size(); ++i)
      if (uint8_t(bytes[i]) > 1)
        throw bad_input(where, "has the byte " + std::to_string(uint8_t(bytes[i])) +
                                   " as element " + std::to_string(i) + ", no BOOL");
  Tensor tensor(dtype, shape);
  if (wanted > 0) std::memcpy(tensor.mutable_raw(), bytes.data(), bytes.size());
  return tensor;
}

class Parser {
 public:
  Parser(JsonBody body, std::string_view binary, const InferLimits& limits)
      : body_(std::move(body)), binary_(binary), limits_(limits) {}

  InferRequest run() {
    Fields fields(body_.document, "");
    InferRequest request;
    if (fields.find("id")) request.id = fields.text("id");
    Fields parameters = fields.parameters();
    // Clients of this protocol say 0 for none.
    if (const auto us = parameters.whole("timeout", int64_t{1} << 50); us && *us > 0)
      request.timeout = std::chrono::microseconds(*us);
    request.binary_outputs = parameters.flag("binary_data_output").value_or(false);
    refuse_sequences(parameters);
    for (const json& entry : fields.list("inputs", true))
      request.inputs.push_back(input(entry, request.inputs.size()));
    if (request.inputs.empty()) throw bad_input("inputs", "is empty");
    for (const json& entry : fields.list("outputs", false))
      request.outputs.push_back(output(entry, request.outputs.size()));
    fields.refuse_others();
    if (!binary_.empty())
      throw bad_input(
          "body", "has " + std::to_string(binary_.size()) + " bytes after the data of its inputs");
    return request;
  }

 private:
  /// A request of a sequence would want state that this server does not keep.
  void refuse_sequences(Fields& parameters) const {
    const json* id = parameters.find("sequence_id");
    if (id && *id != 0 && *id != "")
      throw bad_input(parameters.place("sequence_id"), "asks for state, which is not kept");
  }

  InferInput input(const json& entry, size_t index) {
    const std::string where = "inputs[" + std::to_string(index) + "]";
    Fields fields(entry, where);
    InferInput input;
    input.name = fields.name();
    const std::string datatype = fields.text("datatype");
    const auto dtype = dtype_from_datatype(datatype);
    if (!dtype) throw bad_input(fields.place("datatype"), quoted(datatype) + " is not known");
    const Shape shape =
        read_shape(fields.need("shape"), fields.place("shape"), limits_.most_elements);
    elements_ += numel(shape);
    if (elements_ > limits_.most_elements)
      throw Rejection(
          413, "inputs: have more than " + std::to_string(limits_.most_elements) + " elements");
    Fields parameters = fields.parameters();
    const auto size = parameters.whole("binary_data_size", int64_t{1} << 50);
    const json* data = fields.find("data");
    fields.refuse_others();
    if (size && data) throw bad_input(where, "has both data and binary_data_size");
    if (size) {
      input.tensor = tensor_from(take(*size, parameters.place("binary_data_size")), *dtype, shape,
                                 parameters.place("binary_data_size"));
      return input;
    }
    if (!data) throw bad_input(fields.place("data"), "is missing");
    if (!data->is_number_unsigned() || data->get<size_t>() >= body_.data.size() ||
        next_data_ != data->get<size_t>())
      throw bad_input(fields.place("data"), "is no array");
    ++next_data_;
    input.from_json = true;
    input.tensor = body_.data[data->get<size_t>()].to_tensor(*dtype, shape, fields.place("data"));
    return input;
  }

  std::string_view take(int64_t size, const std::string& where) {
    if (uint64_t(size) > binary_.size())
      throw bad_input(where, "is " + std::to_string(size) + ", the body has " +
                                 std::to_string(binary_.size()) + " bytes left");
    const std::string_view part = binary_.substr(0, size_t(size));
    binary_.remove_prefix(size_t(size));
    return part;
  }

  static InferOutput output(const json& entry, size_t index) {
    Fields fields(entry, "outputs[" + std::to_string(index) + "]");
    InferOutput output;
    output.name = fields.name();
    Fields parameters = fields.parameters();
    output.binary = parameters.flag("binary_data");
    if (parameters.find("classification"))
      throw bad_input(parameters.place("classification"), "is not supported");
    fields.refuse_others();
    return output;
  }

  JsonBody body_;
  std::string_view binary_;
  const InferLimits& limits_;
  int64_t elements_ = 0;
  size_t next_data_ = 0;
};

size_t read_length(const std::string& text, size_t body) {
  size_t length = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
  if (error != std::errc() || end != text.data() + text.size())
    throw bad_input("Inference-Header-Content-Length", quoted(text) + " is no whole number");
  if (length > body)
    throw bad_input("Inference-Header-Content-Length",
                    "is " + text + ", the body has " + std::to_string(body) + " bytes");
  return length;
}

}  // namespace

InferRequest parse_infer(std::string_view body, const std::optional<std::string>& header_length,
                         const InferLimits& limits) {
  const size_t length = header_length ? read_length(*header_length, body.size()) : body.size();
  return Parser(parse_json_body(body.substr(0, length), limits.most_elements), body.substr(length),
                limits)
      .run();
}

InferRequest raw_infer(std::string_view body, const Signature& signature, bool bytes,
                       const InferLimits& limits) {
  if (signature.inputs.size() != 1)
    throw bad_input("Inference-Header-Content-Length",
                    "is 0, which only networks with one input can take; this one has " +
                        std::to_string(signature.inputs.size()));
  const Port& port = signature.inputs[0];
  InferRequest request;
  request.inputs.push_back({port.name, {}, false});
  Tensor& tensor = request.inputs[0].tensor;
  if (bytes || port.type.dtype == DType::string) {
    // One element, in as many dimensions as the network wants; a picture is a row by itself.
    const Shape shape(bytes ? 1 : size_t(port.type.rank()), 1);
    tensor = Tensor(DType::string, shape);
    tensor.mutable_data<std::string>()[0] = std::string(body);
    return request;
  }
  Shape shape;
  std::optional<size_t> open;
  int64_t row = int64_t(size_of(port.type.dtype));  // bytes where the open extent is 1
  for (const Dim& d : port.type.dims) {
    if (!d.known() && open)
      throw bad_input("body", "does not say the shape of input '" + port.name +
                                  "', which has several open extents");
    if (!d.known()) open = shape.size();
    shape.push_back(d.known() ? d.value() : 1);
    if (shape.back() > 0 && row > (int64_t{1} << 50) / shape.back())
      throw bad_input("body", "is too short for input '" + port.name + "'");
    row *= shape.back();
  }
  if (open && row > 0) shape[*open] = std::max<int64_t>(1, int64_t(body.size()) / row);
  if (numel(shape) > limits.most_elements)
    throw Rejection(413,
                    "body: has more than " + std::to_string(limits.most_elements) + " elements");
  tensor = tensor_from(body, port.type.dtype, shape, "body");
  return request;
}

}  // namespace espalier::serve
