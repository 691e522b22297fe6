// TFLite files for tests, written field by field as the format specifies them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "ir/graph.h"
#include "tensor/tensor.h"

namespace espalier::testing {

/// Writes FlatBuffers front to back: what a table refers to follows it.
class FlatWriter {
 public:
  /// Writes something and returns where it begins.
  using Child = std::function<size_t()>;
  /// A field's value; monostate leaves it out.
  using Field =
      std::variant<std::monostate, int8_t, int32_t, uint32_t, int64_t, uint64_t, float, Child>;

  FlatWriter();
  std::string bytes;

  size_t table(const std::vector<Field>& fields);
  Child string(const std::string& text);
  template <class T>
  Child list(const std::vector<T>& values) {
    return raw(std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)),
               values.size());
  }
  Child raw(const std::string& data, size_t count);
  Child tables(const std::vector<Child>& items);
  /// The file's root and identifier.
  std::string finish(const Child& root, const std::string& identifier = "TFL3");

 private:
  void align(size_t to);
  void patch(size_t at, size_t target);
};

/// Numbers of the format's element types.
enum TfType { kF32 = 0, kF16 = 1, kI32 = 2, kU8 = 3, kI64 = 4, kBool = 6, kI16 = 7, kI8 = 9 };

struct TfTensor {
  std::string name;
  int type = kF32;
  std::vector<int32_t> shape;
  std::string data = {};
  std::vector<float> scales = {};
  std::vector<int64_t> zero_points = {};
  int32_t axis = 0;
  std::vector<int32_t> signature = {};
};

struct TfOperator {
  int code = 0;
  std::vector<int32_t> inputs, outputs;
  std::vector<FlatWriter::Field> options = {};
  std::string custom = {};
};

/// A file, built up tensor by tensor.
class TfModel {
 public:
  /// The number of the new tensor.
  int32_t tensor(TfTensor t);
  int32_t input(TfTensor t);
  int32_t constant(const std::string& name, const Tensor& value);
  int32_t constant(const std::string& name, const Tensor& value, std::vector<float> scales,
                   std::vector<int64_t> zero_points, int32_t axis = 0);
  /// A list of i32.
  int32_t ints(const std::vector<int32_t>& values);
  /// An operator; its result is a new tensor of that description.
  int32_t op(int code, std::vector<int32_t> inputs, TfTensor result,
             std::vector<FlatWriter::Field> options = {});
  void op(TfOperator o) { operators_.push_back(std::move(o)); }
  TfModel& output(int32_t t);

  std::string bytes(uint32_t version = 3) const;
  Graph import() const;
  /// What the reference computes.
  std::vector<Tensor> run(const std::vector<Tensor>& inputs) const;

 private:
  std::vector<TfTensor> tensors_;
  std::vector<TfOperator> operators_;
  std::vector<int32_t> inputs_, outputs_;
};

std::string bytes_of(const Tensor& t);
/// How many nodes of that operator the graph has.
int count(const Graph& g, const std::string& op);
/// Names of the operators in order, joined by spaces.
std::string operators_of(const Graph& g);

}  // namespace espalier::testing
