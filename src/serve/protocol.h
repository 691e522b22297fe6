// The Open Inference Protocol, version 2 (KServe), between bytes and tensors: JSON and the binary
// tensor extension, all element types. Knows no networks and no sockets.
//
// An inference request is a JSON object, followed (if the header Inference-Header-Content-Length
// says where the object ends) by the elements of inputs that have the parameter `binary_data_size`,
// in the order of the inputs, little-endian; BYTES elements begin with their length as u32.
//
// What JSON cannot say: infinite and undefined floats are the strings "Infinity", "-Infinity" and
// "NaN", both ways.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serve/signature.h"
#include "tensor/tensor.h"

namespace espalier::serve {

struct InferInput {
  std::string name;
  Tensor tensor;
  bool from_json = false;  ///< its elements were written in JSON
};

struct InferOutput {
  std::string name;
  std::optional<bool> binary;  ///< nothing: as the request says of all
};

struct InferRequest {
  std::string id;
  std::vector<InferInput> inputs;
  std::vector<InferOutput> outputs;  ///< empty: all, in the network's order
  bool binary_outputs = false;
  std::optional<std::chrono::microseconds> timeout;
};

struct InferLimits {
  int64_t most_elements = int64_t{1} << 24;  ///< of all inputs together
};

/// A request from its body. `header_length` is the value of Inference-Header-Content-Length.
/// UserError names the field that is wrong ("inputs[0].shape[1]"); Rejection 413 for too many
/// elements.
InferRequest parse_infer(std::string_view body, const std::optional<std::string>& header_length,
                         const InferLimits& limits);

/// A body that is nothing but the elements of a network's only input
/// (Inference-Header-Content-Length is 0). One open dimension follows from their number; a BYTES
/// input is one element, the body. `bytes`: the input takes BYTES whatever its type.
InferRequest raw_infer(std::string_view body, const Signature& signature, bool bytes,
                       const InferLimits& limits);

struct NamedTensor {
  std::string name;
  Tensor tensor;
  bool binary = false;
};

struct InferReply {
  std::string body;
  std::optional<size_t>
      json_bytes;  ///< length of the JSON before binary elements, if there are any
};

/// UserError where JSON cannot carry an output.
InferReply encode_reply(const std::string& model, const std::string& id,
                        const std::vector<NamedTensor>& outputs);

/// {"name":…,"versions":["1"],"platform":"espalier","inputs":[…],"outputs":[…]}; inputs named in
/// `pictures` say that they take pictures.
std::string encode_metadata(const std::string& model, const Signature& signature,
                            const std::vector<std::string>& pictures);

/// {"error":"…"}, whatever bytes the message has.
std::string encode_error(const std::string& message);

}  // namespace espalier::serve
