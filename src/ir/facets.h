// What rooms answer with: the vocabulary of facets.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "ir/graph.h"

namespace espalier {

/// The facet is answered by expanding the operator into simpler ones (the room must have `expand`).
struct Derive {};
/// The facet has no answer, and why. Passes print the reason before any work starts.
struct Refuse {
  std::string why;
};

/// An answered, derived or refused facet. There is no default: a room that omits one does not
/// compile.
template <class F>
class Facet {
 public:
  template <class G>
  requires(std::constructible_from<F, G> && !std::same_as<std::remove_cvref_t<G>, Facet>)
      Facet(G&& f)
      : state_(F(std::forward<G>(f))) {}
  Facet(Derive) : state_(Derive{}) {}
  Facet(Refuse r) : state_(std::move(r)) {}

  bool answered() const { return std::holds_alternative<F>(state_); }
  bool derived() const { return std::holds_alternative<Derive>(state_); }
  bool refused() const { return std::holds_alternative<Refuse>(state_); }
  /// The function; the facet must be answered.
  const F& operator*() const {
    ESP_CHECK(answered(), "a facet without an answer was called");
    return std::get<F>(state_);
  }
  /// Why it is refused; empty otherwise.
  std::string why() const { return refused() ? std::get<Refuse>(state_).why : ""; }

 private:
  std::variant<F, Derive, Refuse> state_;
};

using Types = std::vector<Type>;
using Values = std::vector<ValueId>;

/// A facet asked the rank of an operand whose rank is not known.
class UnknownRank : public UserError {
 public:
  using UserError::UserError;
};

/// Operand types as a facet sees them; constants are visible where they are known.
class TypesIn {
 public:
  struct Operand {
    const Type* type = nullptr;        ///< null for an omitted operand
    const Tensor* constant = nullptr;  ///< its value where known at compile time
  };
  TypesIn(std::string where, std::vector<Operand> operands)
      : where_(std::move(where)), operands_(std::move(operands)) {}

  size_t size() const { return operands_.size(); }
  bool has(size_t i) const { return i < operands_.size() && operands_[i].type; }
  /// The tensor type of operand i. UserError if it is omitted or no tensor, UnknownRank if its rank
  /// is not known.
  const TensorType& operator[](size_t i) const;
  const Type& type(size_t i) const;
  /// The known value of operand i, or null.
  const Tensor* constant(size_t i) const {
    return i < operands_.size() ? operands_[i].constant : nullptr;
  }
  /// Known integer values of operand i, or nothing.
  std::optional<std::vector<int64_t>> ints(size_t i) const;
  const std::vector<Operand>& operands() const { return operands_; }
  /// "Conv 'layer1'": the node, for messages.
  const std::string& where() const { return where_; }
  /// UserError at this node.
  [[noreturn]] void fail(std::string what, std::string hint = "") const;

 private:
  std::string where_;
  std::vector<Operand> operands_;
};

/// What one execution costs. MACs are multiply-accumulates of contractions; flops counts all
/// arithmetic (a MAC is two); bytes are those read and written once by a perfect kernel.
struct Cost {
  double macs = 0;
  double flops = 0;
  double bytes = 0;
  Cost& operator+=(const Cost& o) {
    macs += o.macs;
    flops += o.flops;
    bytes += o.bytes;
    return *this;
  }
};
/// Bytes of all operands and results whose size is known.
double traffic(const TypesIn& in, const Types& out);
/// A contraction of that many MACs.
Cost contraction(double macs, const TypesIn& in, const Types& out);
/// `flops_per_element` for each element of the first result.
Cost map_cost(double flops_per_element, const TypesIn& in, const Types& out);
/// Moves data, computes nothing.
Cost move_cost(const TypesIn& in, const Types& out);

/// Where an index set touches one operand or result of a node. Along `axis`, index k of a tie with
/// `count` indices owns the positions
///     offset + (o * count + k) * inner + i      for o in [0, outer), i in [0, inner).
struct AxisPlace {
  bool output = false;
  int slot = 0;
  int axis = 0;  ///< in [0, rank)
  int64_t offset = 0;
  int64_t inner = 1;
  int64_t outer = 1;

  static AxisPlace in(int slot, int64_t axis, int64_t inner = 1, int64_t outer = 1,
                      int64_t offset = 0) {
    return {false, slot, int(axis), offset, inner, outer};
  }
  static AxisPlace out(int slot, int64_t axis, int64_t inner = 1, int64_t outer = 1,
                       int64_t offset = 0) {
    return {true, slot, int(axis), offset, inner, outer};
  }
};

/// Index k's positions in all places must be kept, cut, permuted or widened together. An axis that
/// appears in no tie of a node is disconnected: nothing along it may be cut.
struct AxisTie {
  int64_t count = 0;
  std::vector<AxisPlace> places;
  /// The result's slices are zero whenever every tied operand slice (parameters included) is zero.
  bool zero_passes = true;
  /// The node reads the whole axis at once (a normalisation, a mean): cutting changes what the rest
  /// sees, so a masked twin must restrict its statistics to the kept indices.
  bool reads_whole = false;
};
struct AxisMap {
  std::vector<AxisTie> ties;

  /// Each axis of `in[0]` tied to the same axis of the result (unary pointwise operators).
  static AxisMap identity(const TypesIn& in, bool zero_passes = true);
  /// When zero operand slices make a broadcasting operator's result slice zero.
  enum class Zero : uint8_t {
    kIfAll,  ///< every operand's slice must be zero (Add): not along axes some operand lacks
    kIfAny,  ///< one zero operand is enough (Mul)
    /// Operand 0's slice is enough unless a further operand's is zero too (Div: 0 / 0): only along
    /// axes that operand 0 alone has.
    kIfFirst,
    kNever,
  };
  /// Broadcasting pointwise operators over all operands.
  static AxisMap broadcast(const TypesIn& in, const TensorType& out, Zero zero);
};

/// What a node needs to keep working after operands were cut or widened: new attributes and new
/// values for constant operands (a reshape's target, a split's sizes).
struct Resized {
  Attributes attrs;
  std::vector<std::pair<int, Tensor>> constants;
};

/// How an operator runs on integers.
struct QuantForm {
  std::vector<int> activations;  ///< operand slots that become u8 or s8, one scale per tensor
  int weight = -1;               ///< operand slot that becomes s8, one scale per index of …
  int weight_axis = 0;           ///< … this axis
  int bias = -1;                 ///< operand slot that becomes i32 at scale s_x * s_w
  enum class Result : uint8_t {
    kRequantize,   ///< the result gets its own scale
    kSameAsInput,  ///< the result keeps operand 0's scale (pooling by maximum, reshaping)
  } result = Result::kRequantize;
};

/// One operand of a sample from which the generic tests of a room are generated.
struct OperandSpec {
  DType dtype = DType::f32;
  Shape shape;
  double lo = -1, hi = 1;       ///< uniform range (integers: inclusive of hi)
  std::optional<Tensor> value;  ///< a fixed value instead
  bool absent = false;
  bool constant = false;  ///< handed to the graph as a constant (a shape, a weight)
  /// How the operator gets the tensor: itself, a sequence that holds it twice, or an optional.
  enum class Form : uint8_t { kTensor, kSequence, kOptional } form = Form::kTensor;

  static OperandSpec omitted() {
    OperandSpec s;
    s.absent = true;
    return s;
  }
  /// A constant 1-D i64 operand.
  static OperandSpec list(std::vector<int64_t> values);
  static OperandSpec fixed(Tensor value);
  static OperandSpec ranged(Shape shape, double lo, double hi, DType dtype = DType::f32) {
    OperandSpec s;
    s.dtype = dtype;
    s.shape = std::move(shape);
    s.lo = lo;
    s.hi = hi;
    return s;
  }
  static OperandSpec sequence(Shape shape) {
    OperandSpec s = of(std::move(shape));
    s.form = Form::kSequence;
    return s;
  }
  static OperandSpec optional(Shape shape) {
    OperandSpec s = of(std::move(shape));
    s.form = Form::kOptional;
    return s;
  }
  static OperandSpec of(Shape shape, DType dtype = DType::f32) {
    return ranged(std::move(shape), -1, 1, dtype);
  }
};
struct Sample {
  Attributes attrs;
  std::vector<OperandSpec> inputs;
  int results = 0;  ///< how many results are asked for; 0: all
};

}  // namespace espalier

// Every room has these: compiled once.
extern template class std::vector<espalier::OperandSpec>;
extern template class std::vector<espalier::Sample>;
extern template class std::vector<espalier::Type>;

namespace espalier {

/// Forward values and incoming gradients of one node, as its gradient facet sees them.
class Tape {
 public:
  Tape(const Graph& graph, const Node& node, std::vector<ValueId> dy, std::vector<bool> wanted)
      : graph_(graph), node_(node), dy_(std::move(dy)), wanted_(std::move(wanted)) {}
  const Graph& graph() const { return graph_; }
  const Node& node() const { return node_; }
  size_t inputs() const { return node_.inputs.size(); }
  size_t outputs() const { return node_.outputs.size(); }
  bool has(size_t i) const { return i < node_.inputs.size() && node_.inputs[i] != kNoValue; }
  ValueId x(size_t i) const { return node_.inputs[i]; }
  ValueId y(size_t i) const { return node_.outputs[i]; }
  /// Gradient of output i, or kNoValue if none flows.
  ValueId dy(size_t i = 0) const { return dy_[i]; }
  /// Whether anybody needs the gradient of input i.
  bool wants(size_t i) const { return i < wanted_.size() && wanted_[i]; }
  const TensorType& type_x(size_t i) const { return graph_.value(x(i)).tensor(); }
  const TensorType& type_y(size_t i) const { return graph_.value(y(i)).tensor(); }
  const Tensor* constant(size_t i) const {
    const auto& c = graph_.value(x(i)).constant;
    return c ? &*c : nullptr;
  }

 private:
  const Graph& graph_;
  const Node& node_;
  std::vector<ValueId> dy_;
  std::vector<bool> wanted_;
};

}  // namespace espalier
