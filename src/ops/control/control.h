// What operators that run graphs share: typing of bodies, and running them by reference.
//
// Values that a body reads from the graph around it are operands of the node, the last `captured`
// ones, and the last inputs of the body: a body stands by itself.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "ir/interpret.h"
#include "ops/emit.h"
#include "ops/sequence/sequence.h"

namespace espalier::ops {

/// The body for inputs of those types, shape computations over the last inputs whose values are
/// known (those of operands in `in`) folded. UserError where the types do not fit what the body
/// declares (extents aside) or what it does.
Graph typed_body(const TypesIn& in, const GraphRef& body, const std::string& what,
                 const std::vector<Type>& types, size_t captured);
/// Types of its results.
std::vector<Type> result_types(const Graph& body);

/// The one element of a tensor that decides. UserError at `where` if it has none or more.
bool decided(const Datum& condition, const std::string& where);
/// A scalar, or a list of one where the body's input is declared as a list.
Datum shaped_like_input(const Graph& body, size_t input, Tensor scalar);
/// What no iteration at all gives: extents that are not known are 0.
Datum nothing_of(const Type& type);
/// Position `at` along an axis, without that axis.
Datum slice_of(const Tensor& tensor, int64_t axis, int64_t at);

/// Types of values that go round: the most exact ones that hold at first and after every iteration.
/// `after` gives the body's result types for given ones. UserError naming the value that has no
/// such type.
std::vector<Type> settled(const TypesIn& in, std::vector<Type> first,
                          const std::function<std::vector<Type>(const std::vector<Type>&)>& after);

/// Runs the operator with its bodies interpreted.
template <class A, class Real>
void run_by_reference(const ControlOf<A>& form, const A& a, const char* where, Ref<Real>& r) {
  ControlCall call;
  call.where = where;
  Types types;
  for (size_t i = 0; i < r.inputs(); ++i) call.operands.push_back(r.has(i) ? &r.datum(i) : nullptr);
  for (size_t o = 0; o < r.outputs(); ++o) types.push_back(r.out_type(o));
  call.results = [&] { return types; };
  std::vector<GraphRef> bodies = form.bodies(a);
  if constexpr (std::is_same_v<Real, double>) {
    // The double twin of a float network.
    const auto narrow = [](const Graph& g, size_t i, const Datum& d) {
      const auto declared = element_type_of(g.value(g.inputs()[i]).type);
      return d.is_tensor() && d.tensor().dtype() == DType::f64 && declared &&
             *declared != DType::f64;
    };
    call.body = [&bodies, narrow](size_t index, const std::vector<Datum>& inputs) {
      GraphRef& body = bodies[index];
      for (size_t i = 0; i < inputs.size(); ++i)
        if (narrow(*body, i, inputs[i]))
          body = std::make_shared<const Graph>(retyped_floats(*body, DType::f64));
      return interpret_body(*body, inputs);
    };
  } else {
    call.body = [&bodies](size_t index, const std::vector<Datum>& inputs) {
      return interpret_body(*bodies[index], inputs);
    };
  }
  std::vector<Datum> results = form.run(a, call);
  for (size_t o = 0; o < results.size(); ++o) r.give(o, std::move(results[o]));
}

/// In C: the body as a function, run on these pointers to its inputs and results.
void emit_body(CWriter& c, const Graph& body, std::vector<std::string> inputs,
               const std::vector<std::string>& results);
/// Pointers to operands [first, last).
std::vector<std::string> operands_in_c(CWriter& c, size_t first, size_t last);
/// Pointers to results [first, last); those nobody reads go to scratch memory.
std::vector<std::string> results_in_c(CWriter& c, size_t first, size_t last);
/// What goes round in a loop: starts as operand `operand`, ends as result `result`. The body reads
/// `now` and writes `next`; `advance` makes that the new `now`.
struct RoundInC {
  std::string now, next;
  int64_t bytes = 0;
};
RoundInC round_in_c(CWriter& c, size_t operand, size_t result);
void advance(CWriter& c, const RoundInC& r);

inline Refuse no_gradient_of_control() {
  return Refuse{"gradients through branches and loops are not derived"};
}

}  // namespace espalier::ops
