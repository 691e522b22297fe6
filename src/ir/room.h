// A room holds everything known about one operator, as facets. See docs/architecture.md.
//
// Rooms are pure: attributes are an immutable typed struct, facets take attributes and types and
// store nothing. Passes and workshops ask facets and never an operator's name.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

#include "ir/facets.h"
#include "ir/reference.h"
#include "tensor/scalar_op.h"

namespace espalier {

class Builder;
class CWriter;

inline constexpr int kVariadic = 1 << 20;

/// How many operands and results an operator takes.
struct Arity {
  int min_inputs = 1;
  int max_inputs = 1;
  int min_outputs = 1;
  int max_outputs = 1;
};

/// Where an operator is specified: its name, the opset whose form the room follows, and the domain
/// ("" is ai.onnx; our own operators live in "espalier").
struct OpName {
  std::string name;
  int version = 1;
  std::string domain = "";
};

/// One execution of an operator that runs graphs.
struct ControlCall {
  std::string where;                   ///< the node, for messages
  std::vector<const Datum*> operands;  ///< null where omitted
  /// Types of the results, as inference gives them for these operands.
  std::function<Types()> results;
  /// The results of body number `index` for those inputs.
  std::function<std::vector<Datum>(size_t index, const std::vector<Datum>& inputs)> body;

  bool has(size_t i) const { return i < operands.size() && operands[i]; }
};

/// How an operator runs the graphs it holds: what it does between runs of its bodies, whoever runs
/// them. Values of the graph around it that a body reads are operands of the node: the last
/// `captured` operands are the last inputs of every body, the same in every run.
struct ControlForm {
  std::function<std::vector<GraphRef>(const Attributes&)> bodies;
  std::function<size_t(const Attributes&)> captured;
  std::function<std::vector<Datum>(const Attributes&, const ControlCall&)> run;
  /// The body that is run once and whose results are the node's, where that is known now; its
  /// inputs are the captured operands.
  std::function<std::optional<size_t>(const Attributes&, const TypesIn&)> inlined;
};

struct Room {
  OpName op;
  Arity arity;
  /// Attribute names it understands.
  std::vector<std::string> attribute_names;
  /// Typed attributes from generic ones: UserError for unknown, missing or mistyped ones.
  std::function<Attributes(const AttributeMap&, const std::string& where)> parse;
  /// Generic attributes; those equal to their default are left out unless `all`.
  std::function<AttributeMap(const Attributes&, bool all)> print;

  Facet<std::function<Types(const Attributes&, const TypesIn&)>> infer;
  Facet<std::function<void(const Attributes&, Ref<float>&)>> reference;
  Facet<std::function<void(const Attributes&, Ref<double>&)>> reference_f64;
  Facet<std::function<Values(const Attributes&, Builder&, const Tape&)>> gradient;
  Facet<std::function<Cost(const Attributes&, const TypesIn&, const Types&)>> cost;
  Facet<std::function<AxisMap(const Attributes&, const TypesIn&, const Types&)>> axes;
  Facet<std::function<QuantForm(const Attributes&, const TypesIn&)>> quantize;
  /// The scalar function of a pointwise operator (with broadcasting), for fused chains; nothing
  /// where it has none with these operands. Its operands are the first `operands_of(code)`; what
  /// further ones say (a clip's bounds) is in its parameters.
  Facet<std::function<std::optional<ScalarOp>(const Attributes&, const TypesIn&)>> pointwise;
  /// The same computation in simpler operators; what `Derive` goes through.
  Facet<std::function<Values(const Attributes&, Builder&, const Values& inputs)>> expand;
  /// The operator in C99 (ir/c_writer.h). Derived from the scalar function where `pointwise` gives
  /// one for the operands, else through `expand`.
  Facet<std::function<void(const Attributes&, CWriter&)>> emit;
  std::vector<Sample> samples;
  /// Operand values at which the operator is not differentiable.
  std::vector<double> kinks;
  /// Results depend on nothing but operands and attributes (false only for control of effects).
  bool deterministic = true;
  /// The attributes for training (true) or inference (false); empty where there is no difference.
  std::function<Attributes(const Attributes&, bool training)> with_mode;
  /// The operand slot of the key that random draws in training form are a function of (i64[2]:
  /// seed and stream); -1 where nothing is drawn. Whoever makes a training graph attaches a key
  /// there, one of its own for each node and step.
  int random_key = -1;
  /// What changes besides types when operands are cut or widened; empty where nothing does.
  /// Arguments: attributes, operand types before and after, result types wanted.
  std::function<Resized(const Attributes&, const TypesIn& before, const TypesIn& after,
                        const Types& wanted)>
      resized;

  /// Results that follow from operand types alone (a shape), or nothing; empty where none ever do.
  std::function<std::optional<Tensor>(const Attributes&, const TypesIn&)> known;

  /// Operands of a variadic operator may be omitted.
  bool gaps = false;
  /// Of operators that run graphs.
  std::optional<ControlForm> control;

  /// Whether a node on constants may be evaluated before the network runs.
  bool foldable() const { return deterministic && !reference.refused() && !control; }
  ~Room();  // in one place instead of in every room's file
  /// "Conv" or "espalier.Pointwise".
  std::string full_name() const { return op.domain.empty() ? op.name : op.domain + "." + op.name; }
};

// ---- the typed form rooms are written in --------------------------------------------------------
//
// Functions of an operator's own attribute struct A are wrapped, as they are written down, into
// functions of Attributes: what follows has the same types in every room.

template <class A, class Signature>
class FunctionOf;

/// A function R(const A&, Args...), or none.
template <class A, class R, class... Args>
class FunctionOf<A, R(Args...)> {
 public:
  using Erased = std::function<R(const Attributes&, Args...)>;

  FunctionOf() = default;
  template <class F>
  requires std::is_invocable_r_v<R, const F&, const A&, Args...> FunctionOf(F f)
      : erased([f = std::move(f)](const Attributes& a, Args... args) -> R {
          return f(a.as<A>(), std::forward<Args>(args)...);
        }) {}

  Erased erased;
};

/// A facet that is answered by a function R(const A&, Args...). There is no default: a room that
/// omits one does not compile.
template <class A, class Signature>
class FacetOf {
 public:
  using Erased = Facet<typename FunctionOf<A, Signature>::Erased>;

  FacetOf(Derive d) : erased(d) {}
  FacetOf(Refuse r) : erased(std::move(r)) {}
  template <class F>
  requires std::is_constructible_v<FunctionOf<A, Signature>, F> FacetOf(F f)
      : erased(FunctionOf<A, Signature>(std::move(f)).erased) {}

  Erased erased;
};

/// A reference facet from a function template instantiated for both precisions.
template <class A>
struct ReferenceOf {
  FacetOf<A, void(Ref<float>&)> f32;
  FacetOf<A, void(Ref<double>&)> f64;

  ReferenceOf(Derive d) : f32(d), f64(d) {}
  ReferenceOf(const Refuse& r) : f32(r), f64(r) {}
  template <class F, class G>
  ReferenceOf(F single, G twice) : f32(std::move(single)), f64(std::move(twice)) {}
};
#define ESP_REFERENCE(A, function) \
  ::espalier::ReferenceOf<A> { &function<float>, &function<double> }

/// One attribute: its ONNX name and the member of A it fills. Members may be int64_t, bool, float,
/// std::string, Tensor, DType (as ONNX's number), vectors of int64_t, float or std::string,
/// GraphRef, or std::optional of these (absent by default). A member's initialiser is its default.
struct Field {
  std::string name;
  bool required = false;
  const std::type_info* of = nullptr;  ///< A; what the functions are given is one
  std::function<void(void* attributes, const AttributeValue&, const Field&,
                     const std::string& where)>
      set;
  /// Nothing when the attribute is absent.
  std::function<std::optional<AttributeValue>(const void* attributes)> get;

  template <class A, class T>
  Field(std::string name, T A::*member, bool required = false);
};

/// A required attribute.
template <class A, class T>
Field required(std::string name, T A::*member) {
  return Field(std::move(name), member, true);
}

template <class A>
struct SampleOf {
  A attrs = {};
  std::vector<OperandSpec> inputs;
  int results = 0;  ///< how many results are asked for; 0: all
};

template <class A>
struct ControlOf {
  std::function<std::vector<GraphRef>(const A&)> bodies;
  std::function<size_t(const A&)> captured;
  std::function<std::vector<Datum>(const A&, const ControlCall&)> run;
  std::function<std::optional<size_t>(const A&, const TypesIn&)> inlined = {};
};

/// The attributes for training or inference, or no difference.
template <class A>
struct ModeOf {
  std::function<Attributes(const Attributes&, bool)> erased;

  ModeOf() = default;
  template <class F>
  requires std::is_invocable_r_v<A, const F&, const A&, bool> ModeOf(F f)
      : erased([f = std::move(f)](const Attributes& a, bool training) {
          return Attributes::of<A>(f(a.as<A>(), training));
        }) {}
};

/// A ControlOf, or none.
template <class A>
struct MaybeControlOf {
  std::optional<ControlForm> erased;

  MaybeControlOf() = default;
  MaybeControlOf(ControlOf<A> c);
};

template <class A>
struct RoomOf {
  OpName onnx;
  Arity arity;
  std::vector<Field> attributes = {};
  FacetOf<A, Types(const TypesIn&)> infer;
  ReferenceOf<A> reference;
  FacetOf<A, Values(Builder&, const Tape&)> gradient;
  FacetOf<A, Cost(const TypesIn&, const Types&)> cost;
  FacetOf<A, AxisMap(const TypesIn&, const Types&)> axes;
  FacetOf<A, QuantForm(const TypesIn&)> quantize;
  FacetOf<A, std::optional<ScalarOp>(const TypesIn&)> pointwise;
  FacetOf<A, Values(Builder&, const Values&)> expand;
  FacetOf<A, void(CWriter&)> emit;
  std::vector<SampleOf<A>> samples;
  std::vector<double> kinks = {};
  bool deterministic = true;
  ModeOf<A> with_mode = {};
  int random_key = -1;
  FunctionOf<A, Resized(const TypesIn&, const TypesIn&, const Types&)> resized = {};
  FunctionOf<A, std::optional<Tensor>(const TypesIn&)> known = {};
  bool gaps = false;
  MaybeControlOf<A> control = {};
};

/// Attributes of operators that have none.
struct NoAttributes {
  bool operator==(const NoAttributes&) const = default;
};

template <class A>
Room make_room(RoomOf<A> typed);
extern template Room make_room<NoAttributes>(RoomOf<NoAttributes> typed);

}  // namespace espalier

#include "ir/room_impl.h"
