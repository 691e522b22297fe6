// What a TFLite file says, as plain structs: its main subgraph with tensors, constants and
// operators. Checked: every index leads somewhere, every constant fills its shape.
//
// The format: a FlatBuffer with the identifier TFL3 (tensorflow/lite/schema of TensorFlow, schema
// version 3). Weights are bytes in the file's buffers.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tensor/tensor.h"
#include "tflite/flatbuffer.h"

namespace espalier::tflite {

/// real = scale (integer - zero point), with one scale or one along an axis.
struct Quantization {
  std::vector<float> scales;
  std::vector<int64_t> zero_points;  ///< as many as scales
  int64_t axis = 0;

  bool operator==(const Quantization&) const = default;
};

struct TensorInfo {
  std::string name;  ///< may be empty, or stand there twice
  int type = 0;      ///< the format's number
  Shape shape;
  std::vector<int64_t> signature;  ///< the shape with -1 for open extents; may be empty
  std::optional<Tensor> constant;
  std::optional<Quantization> quantization;  ///< with at least one scale
  bool variable = false;                     ///< keeps its value from run to run
  bool sparse = false;
};

struct OperatorInfo {
  int code = 0;
  std::string custom;  ///< name of a custom operator
  FlatTable options;
  std::vector<int32_t> inputs;   ///< tensors; -1 where one is left out
  std::vector<int32_t> outputs;  ///< tensors
};

struct ModelInfo {
  std::string name, description;
  std::vector<TensorInfo> tensors;
  std::vector<OperatorInfo> operators;  ///< in the order they run
  std::vector<int32_t> inputs, outputs;
};

/// UserError naming the file: no TFLite file, cut short, damaged, of another schema version.
/// Constants are copied out of the bytes; options refer to `file`.
ModelInfo read_model(const FlatBuffer& file);

/// The element type of the format's number (4-bit integers are held as i8). UserError(unsupported)
/// at `where` for types without a place here.
DType element_type(int number, const std::string& where);

}  // namespace espalier::tflite
