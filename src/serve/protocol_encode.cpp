// Answers, metadata and errors of the protocol as bytes.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "serve/datatype.h"
#include "serve/protocol.h"

namespace espalier::serve {
namespace {

using Json = nlohmann::ordered_json;

/// Anybody's bytes as a JSON string; what is no UTF-8 is replaced.
std::string quoted(const std::string& text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

template <class T>
void append_number(std::string& out, T value) {
  char text[48];
  out.append(text, std::to_chars(text, text + sizeof text, value).ptr);
}

template <class T>
void append_element(std::string& out, T value) {
  if constexpr (std::is_same_v<T, bool>) {
    out += value ? "true" : "false";
  } else if constexpr (std::is_integral_v<T>) {
    append_number(out, value);
  } else if constexpr (std::is_same_v<T, bfloat16> || std::is_same_v<T, float16>) {
    append_element(out, float(value));
  } else {
    // The shortest text that reads back as the same number.
    if (value == 0)
      out += std::signbit(value) ? "-0.0" : "0";  // "-0" would be read as an integer
    else if (std::isfinite(value))
      append_number(out, value);
    else
      out += std::isnan(value) ? "\"NaN\"" : value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
  }
}

void append_data(std::string& out, const NamedTensor& output) {
  const Tensor& t = output.tensor;
  out += '[';
  for (int64_t i = 0; t.dtype() == DType::string && i < t.size(); ++i) {
    if (i) out += ',';
    try {
      out += Json(t.data<std::string>()[i]).dump();
    } catch (const Json::exception&) {
      throw bad_input("output '" + output.name + "'",
                      "holds bytes that are no UTF-8, which JSON cannot carry",
                      "ask for it with the parameter binary_data");
    }
  }
  visit_numeric(t.dtype(), [&](auto tag) {
    const auto* data = t.data<decltype(tag)>();
    for (int64_t i = 0; i < t.size(); ++i) {
      if (i) out += ',';
      append_element(out, data[i]);
    }
  });
  out += ']';
}

std::string binary_of(const Tensor& t) {
  if (t.dtype() != DType::string) return {static_cast<const char*>(t.raw()), t.bytes()};
  std::string bytes;
  for (const std::string& element : t.span<std::string>()) {
    const auto length = uint32_t(element.size());
    bytes.append(reinterpret_cast<const char*>(&length), sizeof length);
    bytes += element;
  }
  return bytes;
}

Json port_json(const Port& port) {
  Json shape = Json::array();
  for (const Dim& d : port.type.dims) shape.push_back(d.known() ? d.value() : -1);
  return {{"name", port.name}, {"datatype", datatype_of(port.type.dtype)}, {"shape", shape}};
}

}  // namespace

InferReply encode_reply(const std::string& model, const std::string& id,
                        const std::vector<NamedTensor>& outputs) {
  std::string text = "{\"model_name\":" + quoted(model) + ",\"model_version\":\"1\"";
  if (!id.empty()) text += ",\"id\":" + quoted(id);
  text += ",\"outputs\":[";
  std::string binary;
  bool any_binary = false;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const NamedTensor& output = outputs[i];
    text += std::string(i ? "," : "") + "{\"name\":" + quoted(output.name) + ",\"datatype\":\"" +
            std::string(datatype_of(output.tensor.dtype())) +
            "\",\"shape\":" + to_string(output.tensor.shape());
    if (output.binary) {
      const std::string bytes = binary_of(output.tensor);
      text += ",\"parameters\":{\"binary_data_size\":" + std::to_string(bytes.size()) + "}";
      binary += bytes;
      any_binary = true;
    } else {
      text += ",\"data\":";
      append_data(text, output);
    }
    text += '}';
  }
  text += "]}";
  InferReply reply;
  if (any_binary) reply.json_bytes = text.size();
  reply.body = std::move(text) + binary;
  return reply;
}

std::string encode_metadata(const std::string& model, const Signature& signature,
                            const std::vector<std::string>& pictures) {
  Json inputs = Json::array(), outputs = Json::array();
  for (const Port& port : signature.inputs) {
    inputs.push_back(port_json(port));
    if (std::ranges::find(pictures, port.name) != pictures.end())
      inputs.back()["parameters"] = {{"pictures", "BYTES of JPEG or PNG, one element a row"}};
  }
  for (const Port& port : signature.outputs) outputs.push_back(port_json(port));
  return Json{{"name", model},
              {"versions", {"1"}},
              {"platform", "espalier"},
              {"inputs", inputs},
              {"outputs", outputs}}
      .dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string encode_error(const std::string& message) {
  return "{\"error\":" + quoted(message) + "}";
}

}  // namespace espalier::serve
