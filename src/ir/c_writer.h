// What a room's `emit` facet writes with: the C99 of one node, as statements of a function.
//
// A room says what is computed; where tensors lie in memory, how constants are stored and in what
// file all this stands is known to the CModule around it. Operands are read and results written
// element by element through `load` and `store`, or as whole arrays through `in` and `out`. Both
// work whatever stands around the node: where an operand is dequantised or a result cut off and
// quantised on its way, `load` and `store` do that to each element, and arrays are converted as a
// whole.
//
// Emitted code needs C99 with <math.h> and <string.h>, allocates nothing and indexes with int.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "ir/facets.h"
#include "tensor/scalar_op.h"

namespace espalier {

/// How a loop nest walks a tensor: element offset + sum over d of index[d] * strides[d].
struct CWalk {
  int64_t offset = 0;
  std::vector<int64_t> strides;
};

/// A function that runs a graph: int name(unsigned char* arena, const inputs.., results..), not 0
/// where data cannot be handled.
struct CFunction {
  std::string name;
  size_t arena_bytes = 0;
};

/// The C file a node is written into.
class CModule {
 public:
  virtual ~CModule() = default;
  /// The file of runtime/c is needed.
  virtual void need(const std::string& part) = 0;
  /// A constant array with these elements; equal ones are stored once.
  virtual std::string table(const Tensor& values, const std::string& name) = 0;
  /// A function for the graph, whose types are static. UserError where it cannot be written.
  virtual CFunction function(const Graph& body) = 0;
};

/// Integers and what turns them into numbers: real = (stored - zero_point) * scale, one scale, or
/// one along `axis`.
struct CQuantised {
  std::string pointer;  ///< of the integers
  DType stored = DType::i8;
  const Tensor* constant = nullptr;  ///< the integers where they are known
  std::vector<float> scales;
  std::vector<int64_t> zero_points;  ///< as many as scales
  int64_t axis = 0;
};

/// The real numbers of known integers.
Tensor dequantised(const CQuantised& q);

/// An operand as a node sees it.
struct CSource {
  std::string pointer;
  DType stored = DType::f32;
  /// It is dequantised on its way here; known integers, or integers with one scale.
  std::optional<CQuantised> quantised;
};

/// One statement between the computing of an element and its storing: const `dtype` `name` =
/// `expression`, where `$` is the computed element and `#` its index.
struct CStep {
  DType dtype = DType::f32;
  std::string name, expression;
};

/// A result as a node leaves it.
struct CTarget {
  std::string pointer;
  DType stored = DType::f32;
  std::vector<CStep> steps;  ///< the last one's value is stored; empty: the computed one is
};

/// What a node asks of the memory of its function.
struct CScratch {
  std::string name;
  DType dtype = DType::f32;
  int64_t count = 0;
};

class CWriter {
 public:
  /// `sources` and `targets` stand for operands and results; empty pointers for omitted ones.
  CWriter(CModule& module, const Graph& graph, NodeId node, std::vector<CSource> sources,
          std::vector<CTarget> targets);

  // ---- the node ---------------------------------------------------------------------------------
  size_t inputs() const { return sources_.size(); }
  size_t outputs() const { return targets_.size(); }
  bool has(size_t i) const { return types_.has(i); }
  /// Whether anybody reads the result.
  bool wants(size_t o) const { return o < targets_.size() && !targets_[o].pointer.empty(); }
  const TypesIn& types() const { return types_; }
  const Types& result_types() const { return results_; }
  DType dtype(size_t i) const { return types_[i].dtype; }
  Shape shape(size_t i) const { return types_[i].shape(); }
  int64_t size(size_t i) const { return types_[i].numel(); }
  DType out_dtype(size_t o) const { return results_[o].tensor().dtype; }
  Shape out_shape(size_t o) const { return results_[o].tensor().shape(); }
  int64_t out_size(size_t o) const { return results_[o].tensor().numel(); }
  const Tensor* constant(size_t i) const { return types_.constant(i); }
  /// The list of an operand (a shape, axes). UserError where it is not known.
  std::vector<int64_t> list(size_t i) const;
  /// UserError (unsupported) at this node.
  [[noreturn]] void refuse(const std::string& why) const;

  // ---- its tensors in C -------------------------------------------------------------------------
  /// Pointer to the elements of operand i, or "0" where it is omitted.
  std::string in(size_t i);
  /// Pointer to where result o belongs.
  std::string out(size_t o);
  /// An element of operand i.
  std::string load(size_t i, const std::string& index);
  /// Writes an element of result o.
  void store(size_t o, const std::string& index, const std::string& value);
  /// Result o is what operand i is, under another shape.
  void view(size_t o, size_t i);
  /// Result o may lie where operand i lies.
  void overlay(size_t o, size_t i);
  /// The integers of an operand that is dequantised on its way here.
  std::optional<CQuantised> quantised(size_t i) const {
    return i < sources_.size() ? sources_[i].quantised : std::nullopt;
  }
  /// Memory that is free again after the node.
  std::string scratch(DType dtype, int64_t count);
  /// A constant array.
  std::string table(const Tensor& values, const std::string& name);

  // ---- statements -------------------------------------------------------------------------------
  void line(const std::string& text);
  /// `head {`, what `inside` writes, `}`.
  void block(const std::string& head, const std::function<void()>& inside);
  /// A function of runtime/c/<part>.
  void call(const std::string& part, const std::string& function,
            const std::vector<std::string>& arguments);
  void need(const std::string& part) { module_.need(part); }
  /// The run ends with an error unless the condition holds.
  void check(const std::string& condition);
  /// Runs a body, its inputs and results at these pointers.
  void run_body(const CFunction& body, const std::vector<std::string>& pointers);
  CFunction function(const Graph& body) { return module_.function(body); }
  /// Loops over `extents`; `body` gets the element index of each walk.
  void nest(const Shape& extents, const std::vector<CWalk>& walks,
            const std::function<void(const std::vector<std::string>& at)>& body);
  /// result 0 = expression of x0, x1.. (all operands, broadcast); `~` stands for the suffix of
  /// numbers and functions in the result's precision: "sin~(x0)", "0.5~".
  void map(const std::string& expression);
  /// The same with the first `operands` alone.
  void map(const std::string& expression, size_t operands);
  /// The scalar function.
  void map(const ScalarOp& op);
  /// Moves a block of operand i into result o.
  void copy(size_t i, const CWalk& from, size_t o, const CWalk& to, const Shape& extents);
  /// Fills result 0.
  void fill(const std::string& value);
  /// For every element `end` writes (of a result without the masked axes): `start`, each sweep over
  /// the elements of operand 0 that belong to it, `end`.
  void fold(const std::vector<bool>& mask, const std::function<void()>& start,
            const std::vector<std::function<void(const std::string& at)>>& sweeps,
            const std::function<void(const std::string& at)>& end);
  /// result 0 = finish of a fold: `init`, then `step` of acc and x; `@` in `finish` is how many.
  /// `acc` has `wide`'s type.
  void reduce(const std::vector<bool>& mask, DType wide, const std::string& init,
              const std::string& step, const std::string& finish);

  // ---- what the module takes over ---------------------------------------------------------------
  /// Writes what is left to do to results taken as arrays. Called once, after the facet.
  void finish();
  const std::string& text() const { return text_; }
  const std::vector<CScratch>& scratches() const { return scratches_; }
  /// Bytes bodies need, all at the same place, named `arena_name`.
  size_t body_bytes() const { return body_bytes_; }
  /// The operand result o is a view of; -1 for none.
  int view_of(size_t o) const { return views_[o]; }
  const std::vector<std::pair<size_t, size_t>>& overlays() const { return overlays_; }
  /// Result o was written as an array, not element by element.
  bool wrote_whole(size_t o) const { return !whole_out_[o].empty(); }

  static constexpr const char* kBodyArena = "body_arena";

 private:
  bool plain_out(size_t o) const { return targets_[o].steps.empty(); }
  void convert_result(size_t o);

  CModule& module_;
  const Graph& graph_;
  NodeId node_;
  TypesIn types_;
  Types results_;
  std::vector<CSource> sources_;
  std::vector<CTarget> targets_;
  std::vector<std::string> whole_in_, whole_out_;  ///< arrays that stand for converted operands
  std::vector<int> views_;
  std::vector<std::pair<size_t, size_t>> overlays_;
  std::vector<CScratch> scratches_;
  size_t body_bytes_ = 0;
  std::string text_;
  int depth_ = 2, loops_ = 0;
};

/// "float", "int32_t"; bool is uint8_t. UserError (unsupported) for types C has no name for.
std::string c_type(DType dtype);
/// Whether there is such a type.
bool has_c_type(DType dtype);
/// A number as a literal of that type.
std::string c_literal(double value, DType dtype);
std::string c_literal(int64_t value, DType dtype);
/// The element as a literal of the tensor's type.
std::string c_literal(const Tensor& values, int64_t i);
/// The function on C expressions of an element type; nothing where C has none for that type.
std::optional<std::string> c_expression(const ScalarOp& op, DType dtype, const std::string& x0,
                                        const std::string& x1 = "", const std::string& x2 = "");
/// The text with every `~` replaced by the suffix of numbers of that type.
std::string with_suffix(std::string text, DType dtype);
/// The text with every `what` replaced.
std::string replaced(std::string text, const std::string& what, const std::string& by);

}  // namespace espalier
