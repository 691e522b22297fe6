// How training stores numbers between writing and reading them: in fewer bits than it computes in.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ir/builder.h"
#include "tensor/float8.h"

namespace espalier {

struct Storage {
  DType type = DType::f32;             ///< f32 or bf16
  std::optional<Float8Groups> float8;  ///< in its place

  bool is_f32() const { return type == DType::f32 && !float8; }
  /// "f32", "bf16", or as `text_of` has it.
  std::string text() const;
  bool operator==(const Storage&) const = default;
};

/// "e4m3,group=128,expand".
std::string text_of(const Float8Groups& groups);

/// Zeros of that shape, stored: one tensor, or codes and scales.
std::vector<Tensor> stored_zeros(const Shape& shape, const Storage& storage);
/// Appends what stores a float tensor; its results are named `name` and "NAME:scales" where they
/// may be.
Values stored(Builder& builder, ValueId value, const Storage& storage, const std::string& name);
/// Appends what reads it back in the type `to`, named `name` where it may be.
ValueId read_back(Builder& builder, const Values& kept, const Storage& storage, DType to,
                  const std::string& name);

}  // namespace espalier
