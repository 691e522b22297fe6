// What a value is while a network runs: a tensor, a sequence of data, an optional that may be
// empty.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ir/type.h"
#include "tensor/tensor.h"

namespace espalier {

/// Copies share what they hold; data are values that nobody changes.
class Datum {
 public:
  Datum() = default;  ///< the tensor f32[0]
  Datum(Tensor tensor) : tensor_(std::move(tensor)) {}
  /// Items must fit `element`, which an empty sequence is known by.
  static Datum sequence(Type element, std::vector<Datum> items);
  static Datum some(Type element, Datum item);
  static Datum none(Type element);

  bool is_tensor() const { return !held_; }
  /// InternalError for sequences and optionals.
  const Tensor& tensor() const;
  /// The items of a sequence, or the one or none of an optional; InternalError for tensors.
  const std::vector<Datum>& items() const;
  /// Of a tensor its element type and extents; of the others what they were made with.
  Type type() const;
  /// The same items as a sequence or optional of a more general element.
  Datum retyped(const Type& type) const;

 private:
  struct Held {
    Type type;
    std::vector<Datum> items;
  };
  Tensor tensor_;
  std::shared_ptr<const Held> held_;
};

/// Whether a value of that type may be this: tensors refine it, items of sequences fit its element.
bool fits(const Datum& datum, const Type& type);
/// Equal structure, and tensors that are identical.
bool identical(const Datum& a, const Datum& b);
/// "f32[2,3]", "seq(f32[?]) of 3 items", for messages.
std::string describe(const Datum& datum);

std::vector<Datum> to_data(std::span<const Tensor> tensors);
/// The tensors; UserError at `where` where one is a sequence or an optional.
std::vector<Tensor> to_tensors(std::span<const Datum> data, const std::string& where);

}  // namespace espalier
