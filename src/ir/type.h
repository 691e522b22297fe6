// Types of values: tensors with possibly symbolic dimensions or unknown rank, sequences, optionals.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace espalier {

/// One extent: a number, or a name standing for a number known only when a graph is specialised.
/// Equal names mean equal extents. An empty name is an extent nobody knows anything about.
class Dim {
 public:
  Dim(int64_t value = 0) : value_(value) {}
  static Dim symbol(std::string name) {
    Dim d;
    d.value_ = -1;
    d.symbol_ = std::move(name);
    return d;
  }
  static Dim unknown() { return symbol(""); }

  bool known() const { return value_ >= 0; }
  /// The number; the dimension must be known.
  int64_t value() const;
  const std::string& name() const { return symbol_; }
  bool is(int64_t v) const { return value_ == v; }
  /// Equal for certain (two unknown extents are not).
  bool operator==(const Dim& o) const {
    return value_ == o.value_ && symbol_ == o.symbol_ && (known() || !symbol_.empty());
  }

 private:
  int64_t value_;
  std::string symbol_;
};

using Dims = std::vector<Dim>;

struct TensorType {
  DType dtype = DType::f32;
  Dims dims;

  TensorType() = default;
  TensorType(DType t, Dims d) : dtype(t), dims(std::move(d)) {}
  TensorType(DType t, const Shape& shape) : dtype(t), dims(shape.begin(), shape.end()) {}

  int64_t rank() const { return int64_t(dims.size()); }
  /// All extents are numbers.
  bool is_static() const;
  /// Extents as numbers; the type must be static.
  Shape shape() const;
  int64_t numel() const { return espalier::numel(shape()); }
  bool operator==(const TensorType&) const = default;
};

/// A tensor of which only the element type is known, neither rank nor extents.
struct UnrankedType {
  DType dtype = DType::f32;
  bool operator==(const UnrankedType&) const = default;
};

struct Type;
struct SequenceType {
  std::shared_ptr<const Type> element;
  bool operator==(const SequenceType& o) const;
};
struct OptionalType {
  std::shared_ptr<const Type> element;
  bool operator==(const OptionalType& o) const;
};

/// What a value is.
struct Type {
  std::variant<TensorType, SequenceType, OptionalType, UnrankedType> form;

  Type() = default;
  Type(TensorType t) : form(std::move(t)) {}
  Type(SequenceType t) : form(std::move(t)) {}
  Type(OptionalType t) : form(std::move(t)) {}
  Type(UnrankedType t) : form(t) {}

  /// A tensor of known rank.
  bool is_tensor() const { return std::holds_alternative<TensorType>(form); }
  bool is_unranked() const { return std::holds_alternative<UnrankedType>(form); }
  bool is_sequence() const { return std::holds_alternative<SequenceType>(form); }
  bool is_optional() const { return std::holds_alternative<OptionalType>(form); }
  /// A tensor whose extents are all numbers.
  bool is_static() const { return is_tensor() && tensor().is_static(); }
  /// The tensor type; throws InternalError for anything but a tensor of known rank.
  const TensorType& tensor() const;
  /// What a sequence or optional holds; throws InternalError for tensors.
  const Type& element() const;
  bool operator==(const Type&) const = default;
};

Type sequence_of(Type element);
Type optional_of(Type element);
/// The element type of a tensor, ranked or not; nothing for sequences and optionals.
std::optional<DType> element_type_of(const Type& type);

/// "f32[N,3,32,32]", "seq(f32[?])", "optional(i64[])". Unknown extents print as "?", unknown ranks
/// as "f32[...]".
std::string to_string(const Dim& dim);
std::string to_string(const TensorType& type);
std::string to_string(const Type& type);
/// The inverse of to_string; throws UserError naming what was not understood.
Type parse_type(std::string_view text);

/// `special` says at least as much as `general`: same form, element type and rank, and equal
/// extents wherever `general` gives a number.
bool refines(const Type& special, const Type& general);
/// The most exact type that both refine; nothing where there is none.
std::optional<Type> joined(const Type& a, const Type& b);

}  // namespace espalier
