#include "ops/control/control.h"

namespace espalier::ops {
namespace {

/// Equal form and element type, whatever the extents.
bool alike(const Type& declared, const Type& given) {
  const auto dtype = element_type_of(declared);
  if (dtype || element_type_of(given)) return dtype == element_type_of(given);
  return declared.form.index() == given.form.index() && alike(declared.element(), given.element());
}

}  // namespace

Graph typed_body(const TypesIn& in, const GraphRef& body, const std::string& what,
                 const std::vector<Type>& types, size_t captured) {
  Graph g = body->compacted();
  if (types.size() != g.inputs().size())
    in.fail(what + " takes " + std::to_string(g.inputs().size()) + " inputs, " +
            std::to_string(types.size()) + " are handed to it");
  for (size_t i = 0; i < types.size(); ++i) {
    const Type& declared = g.value(g.inputs()[i]).type;
    if (element_type_of(types[i]) == DType::f64 && element_type_of(declared) == DType::f32) {
      g = retyped_floats(g, DType::f64);
      break;
    }
  }
  for (size_t i = 0; i < types.size(); ++i) {
    const Value& input = g.value(g.inputs()[i]);
    if (!alike(input.type, types[i]))
      in.fail(what + "'s input '" + input.name + "' is " + to_string(input.type) +
              ", but is given " + to_string(types[i]));
  }
  const std::vector<ValueId> inputs(g.inputs().begin(), g.inputs().end());
  for (size_t i = 0; i < captured; ++i) {
    const Tensor* known = in.constant(in.size() - captured + i);
    const ValueId input = inputs[inputs.size() - captured + i];
    if (known)
      g.replace_uses(input, g.add_constant(g.fresh_name(g.value(input).name + "_known"), *known));
  }
  try {
    return with_input_types(g, types);
  } catch (const UserError& e) {
    throw e.within(in.where() + ", " + what);
  }
}

std::vector<Type> result_types(const Graph& body) {
  std::vector<Type> types;
  for (ValueId v : body.outputs()) types.push_back(body.value(v).type);
  return types;
}

bool decided(const Datum& condition, const std::string& where) {
  const Tensor& t = condition.tensor();
  if (t.dtype() != DType::boolean || t.size() != 1)
    throw bad_input(where,
                    "the condition is " + to_string(condition.type()) + ", one bool is needed");
  return t.int_at(0) != 0;
}

Datum shaped_like_input(const Graph& body, size_t input, Tensor scalar) {
  const Type& declared = body.value(body.inputs()[input]).type;
  return declared.is_tensor() && declared.tensor().rank() == 1 ? scalar.reshaped({1}) : scalar;
}

Datum nothing_of(const Type& type) {
  Shape shape = {0};
  if (type.is_tensor()) {
    shape.clear();
    for (const Dim& d : type.tensor().dims) shape.push_back(d.known() ? d.value() : 0);
  }
  return Tensor(*element_type_of(type), shape);
}

Datum slice_of(const Tensor& tensor, int64_t axis, int64_t at) {
  return without_axis(part_of(tensor, axis, at, 1), axis);
}

std::vector<Type> settled(const TypesIn& in, std::vector<Type> types,
                          const std::function<std::vector<Type>(const std::vector<Type>&)>& after) {
  // Each round makes some extent or rank unknown, or is the last.
  while (true) {
    bool changed = false;
    const std::vector<Type> next = after(types);
    for (size_t i = 0; i < types.size(); ++i) {
      auto both = joined(types[i], next[i]);
      if (!both)
        in.fail("value " + std::to_string(i) + " that goes round is " + to_string(types[i]) +
                " at first and " + to_string(next[i]) + " after an iteration");
      // Two unknown extents are not equal; what is written of them is.
      if (to_string(*both) == to_string(types[i])) continue;
      types[i] = std::move(*both);
      changed = true;
    }
    if (!changed) return types;
  }
}

void emit_body(CWriter& c, const Graph& body, std::vector<std::string> inputs,
               const std::vector<std::string>& results) {
  inputs.insert(inputs.end(), results.begin(), results.end());
  c.run_body(c.function(body), inputs);
}

std::vector<std::string> operands_in_c(CWriter& c, size_t first, size_t last) {
  std::vector<std::string> pointers;
  for (size_t i = first; i < last; ++i) pointers.push_back(c.in(i));
  return pointers;
}

std::vector<std::string> results_in_c(CWriter& c, size_t first, size_t last) {
  std::vector<std::string> pointers;
  for (size_t o = first; o < last; ++o)
    pointers.push_back(c.wants(o) ? c.out(o) : c.scratch(c.out_dtype(o), c.out_size(o)));
  return pointers;
}

RoundInC round_in_c(CWriter& c, size_t operand, size_t result) {
  if (!c.types()[operand].is_static() || c.types()[operand] != c.result_types()[result].tensor())
    c.refuse("what goes round is " + to_string(c.types()[operand]) + " at first and " +
             to_string(c.result_types()[result]) + " later; C code needs fixed sizes");
  RoundInC r{results_in_c(c, result, result + 1)[0], c.scratch(c.dtype(operand), c.size(operand)),
             c.size(operand) * int64_t(size_of(c.dtype(operand)))};
  c.line("memcpy(" + r.now + ", " + c.in(operand) + ", " + std::to_string(r.bytes) + ");");
  return r;
}

void advance(CWriter& c, const RoundInC& r) {
  c.line("memcpy(" + r.now + ", " + r.next + ", " + std::to_string(r.bytes) + ");");
}

}  // namespace espalier::ops
