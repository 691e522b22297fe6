// Forms of operators: valid uses of a room, taken from its samples, in which every number that
// inference looks at is a symbol. A form with a number for each symbol is a record: an operator
// with its attributes and the types of its operands.
#pragma once

#include <string>
#include <vector>

#include "ir/room.h"

namespace espalier::fuzz {

/// One number of a form.
struct Symbol {
  enum class Kind : uint8_t {
    kExtent,     ///< axis `index` of operand `slot`
    kElement,    ///< element `index` of the list that operand `slot` is
    kAttribute,  ///< the attribute, or element `index` of it
    kResult,     ///< axis `index` of the first result
  };
  Kind kind = Kind::kExtent;
  int slot = 0;
  int index = 0;  ///< -1: the attribute itself
  std::string attribute;
};
/// "s0.2", "c1.0", "strides.1", "y.3".
std::string to_string(const Symbol& s);

/// A number for each symbol of a form.
using Assignment = std::vector<int64_t>;

struct Form {
  const Room* room = nullptr;
  AttributeMap attributes;
  std::vector<OperandSpec> operands;
  int results = 0;  ///< how many are asked for; 0: all
  std::vector<Symbol> symbols;
  Assignment sample;
  size_t given = 0;  ///< symbols before those of the result

  bool is_given(size_t symbol) const { return symbol < given; }
};

/// A form with its numbers put in.
struct Use {
  Attributes attrs;
  std::vector<OperandSpec> operands;
};
/// UserError for attributes that the room does not take.
Use use_of(const Form& form, const Assignment& numbers);
/// Result types; UserError where the operator does not accept the operands.
Types types_of(const Form& form, const Assignment& numbers);

/// The numbers of the given symbols with those of the result as inference has them; what was given
/// alone where the first result's extents are not all numbers.
Assignment with_result(const Form& form, Assignment numbers, const Types& results);

/// Forms of every sample that graphs of tensors can hold: no strings, sequences or bodies, and of
/// each the same with axes put in front of its operands where the operator takes that.
std::vector<Form> forms_of(const Room& room);

}  // namespace espalier::fuzz
