// Einsum, ONNX opset 12: sums of products over named axes, y[bik] = sum_j a[bij] b[bjk] for
// "bij,bjk->bik". A letter named twice in one operand takes its diagonal; '...' stands for leading
// axes that broadcast; extents of 1 broadcast too. Without "->" the result has the axes of '...'
// and, in the order of the alphabet, the letters that occur once.
//
// It runs as what it expands to: operands are joined two by two, by a matrix product where an axis
// is summed over, by a multiplication otherwise.
#include <set>

#include "base/error.h"
#include "ops/linear/equation.h"

namespace espalier::ops {
namespace {

struct Einsum {
  std::string equation;
};

Types infer(const Einsum& a, const TypesIn& in) {
  require_numeric(in, 0, in.size());
  require_same_dtype(in, 0, in.size());
  const Equation e = parse_equation(a.equation, in);
  Dims dims;
  for (int label : e.result) dims.push_back(e.extent(label));
  return {TensorType(in[0].dtype, std::move(dims))};
}

/// The equation where operands are `types`.
Equation equation_of(const Einsum& a, const std::vector<Type>& types) {
  std::vector<TypesIn::Operand> operands;
  for (const Type& t : types) operands.push_back({&t});
  return parse_equation(a.equation, TypesIn("Einsum", operands));
}

template <class Real>
void reference(const Einsum& a, Ref<Real>& r) {
  const size_t count = r.inputs();
  std::vector<Type> types;
  for (size_t i = 0; i < count; ++i) types.emplace_back(TensorType(r.dtype(i), r.shape(i)));
  const Equation e = equation_of(a, types);
  // One loop for each label: first those of the result, then those summed over.
  Labels loops = e.result;
  for (const auto& [label, extent] : e.extents)
    if (!contains(loops, label)) loops.push_back(label);
  Shape extents;
  for (int label : loops) extents.push_back(e.extent(label).value());
  std::vector<std::vector<int64_t>> strides(count, std::vector<int64_t>(loops.size(), 0));
  for (size_t i = 0; i < count; ++i) {
    const auto own = strides_of(r.shape(i));
    for (size_t d = 0; d < own.size(); ++d) {
      const auto loop = std::find(loops.begin(), loops.end(), e.operands[i][d]) - loops.begin();
      if (r.shape(i)[d] > 1) strides[i][size_t(loop)] += own[d];
    }
  }
  const int64_t summed = product(extents, e.result.size(), extents.size());
  const auto run = [&](auto wide, auto read, auto y) {
    std::vector<decltype(read(0))> x;
    for (size_t i = 0; i < count; ++i) x.push_back(read(i));
    std::vector<int64_t> index(loops.size(), 0), at(count, 0);
    for (size_t o = 0; o < y.size(); ++o) {
      auto sum = wide;
      for (int64_t s = 0; s < summed; ++s) {
        auto term = wide;
        term = 1;
        for (size_t i = 0; i < count; ++i) term *= decltype(wide)(x[i][size_t(at[i])]);
        sum += term;
        for (size_t d = loops.size(); d-- > 0;) {
          for (size_t i = 0; i < count; ++i) at[i] += strides[i][d];
          if (++index[d] < extents[d]) break;
          for (size_t i = 0; i < count; ++i) at[i] -= strides[i][d] * extents[d];
          index[d] = 0;
        }
      }
      y[o] = std::remove_cvref_t<decltype(y[o])>(sum);
    }
  };
  // Products of integers wrap.
  if (r.is_real(0))
    run(
        double{}, [&](size_t i) { return r.real(i); }, r.out_real(0));
  else
    run(
        uint64_t{}, [&](size_t i) { return r.ints(i); }, r.out_ints(0));
}

/// A value on its way through the expansion, its axes labelled.
struct Part {
  ValueId v;
  Labels labels;
};

/// Writes the expansion of one equation.
class Contraction {
 public:
  Contraction(Builder& b, const Equation& e) : b_(b), e_(e) {}

  ValueId run(const Values& operands) {
    std::vector<Part> parts;
    for (size_t i = 0; i < operands.size(); ++i)
      parts.push_back(diagonal(without_broadcast({operands[i], e_.operands[i]})));
    Part joined = parts[0];
    for (size_t i = 0; i < parts.size(); ++i) {
      std::set<int> later(e_.result.begin(), e_.result.end());
      for (size_t k = i + 1; k < parts.size(); ++k)
        later.insert(parts[k].labels.begin(), parts[k].labels.end());
      if (i == 0) {
        joined = summed(parts[0], later);
        continue;
      }
      std::set<int> elsewhere = later;
      elsewhere.insert(joined.labels.begin(), joined.labels.end());
      joined = join(joined, summed(parts[i], elsewhere), later);
    }
    return ordered(joined, e_.result);
  }

 private:
  /// Axes of extent 1 whose label has a larger extent elsewhere are left out: they broadcast.
  Part without_broadcast(Part p) {
    Labels kept;
    std::vector<int64_t> drop;
    for (size_t d = 0; d < p.labels.size(); ++d) {
      const bool broadcast = b_.type(p.v).dims[d].is(1) && !e_.extent(p.labels[d]).is(1);
      if (broadcast)
        drop.push_back(int64_t(d));
      else
        kept.push_back(p.labels[d]);
    }
    if (drop.empty()) return p;
    return {b_.one("Squeeze", {p.v, b_.ints(drop)}), kept};
  }

  /// Axes that share a label are replaced by their diagonal.
  Part diagonal(Part p) {
    for (size_t i = 0; i < p.labels.size(); ++i) {
      const auto again = std::find(p.labels.begin() + int64_t(i) + 1, p.labels.end(), p.labels[i]);
      if (again == p.labels.end()) continue;
      const int64_t extent = extent_of(p.labels[i]);
      // Both axes last, as one of extent^2, every extent + 1-th element of which is taken.
      std::vector<int64_t> order, target;
      const int64_t second = again - p.labels.begin();
      Labels labels;
      for (int64_t d = 0; d < int64_t(p.labels.size()); ++d) {
        if (d == int64_t(i) || d == second) continue;
        order.push_back(d);
        labels.push_back(p.labels[size_t(d)]);
      }
      labels.push_back(p.labels[i]);
      order.push_back(int64_t(i));
      order.push_back(second);
      const ValueId last = b_.transpose(p.v, order);
      for (size_t d = 0; d + 1 < labels.size(); ++d) target.push_back(target_of(last, d));
      target.push_back(extent * extent);
      std::vector<int64_t> picks;
      for (int64_t k = 0; k < extent; ++k) picks.push_back(k * (extent + 1));
      const ValueId flat = b_.one("Reshape", {last, b_.ints(target)}, reading(last));
      p = {b_.one("Gather", {flat, b_.ints(picks)}, {{"axis", int64_t{-1}}}), labels};
      i = size_t(-1);  // its axes moved
    }
    return p;
  }

  /// Sums over the labels nobody needs later.
  Part summed(const Part& p, const std::set<int>& later) {
    Labels kept;
    std::vector<int64_t> over;
    for (size_t d = 0; d < p.labels.size(); ++d) {
      if (later.contains(p.labels[d]))
        kept.push_back(p.labels[d]);
      else
        over.push_back(int64_t(d));
    }
    if (over.empty()) return p;
    return {b_.reduce_sum(p.v, over, false), kept};
  }

  Part join(const Part& x, const Part& y, const std::set<int>& later) {
    Labels batch, contracted, left, right;
    for (int label : x.labels)
      (!contains(y.labels, label) ? left
       : later.contains(label)    ? batch
                                  : contracted)
          .push_back(label);
    for (int label : y.labels)
      if (!contains(x.labels, label)) right.push_back(label);
    const Labels result = both(both(batch, left), right);
    if (contracted.empty()) {
      const ValueId a =
          with_axes(ordered(x, both(batch, left)), batch.size() + left.size(), right.size());
      const ValueId c = with_axes(ordered(y, both(batch, right)), batch.size(), left.size());
      return {b_.mul(a, c), result};
    }
    const size_t lead = batch.size();
    const ValueId a = merged(ordered(x, both(both(batch, left), contracted)), lead, left.size(),
                             contracted.size());
    const ValueId c = merged(ordered(y, both(both(batch, contracted), right)), lead,
                             contracted.size(), right.size());
    return {split(b_.matmul(a, c), batch, left, right), result};
  }

  static Labels both(Labels a, const Labels& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  }

  ValueId ordered(const Part& p, const Labels& labels) {
    std::vector<int64_t> order;
    bool same = true;
    for (int label : labels) {
      order.push_back(std::find(p.labels.begin(), p.labels.end(), label) - p.labels.begin());
      same = same && order.back() == int64_t(order.size()) - 1;
    }
    return same ? p.v : b_.transpose(p.v, order);
  }

  /// `count` axes of extent 1 put in before axis `at`.
  ValueId with_axes(ValueId v, size_t at, size_t count) {
    std::vector<int64_t> axes;
    for (size_t i = 0; i < count; ++i) axes.push_back(int64_t(at + i));
    return count == 0 ? v : b_.one("Unsqueeze", {v, b_.ints(axes)});
  }

  /// Matrices: behind `lead` axes, the next `rows` become one axis, the last `columns` another.
  ValueId merged(ValueId v, size_t lead, size_t rows, size_t columns) {
    if (rows == 1 && columns == 1) return v;
    const Dims dims = b_.type(v).dims;
    if (rows == 0 && columns == 1) return with_axes(v, lead, 1);
    if (rows == 1 && columns == 0) return with_axes(v, lead + 1, 1);
    std::vector<int64_t> target;
    for (size_t d = 0; d < lead; ++d) target.push_back(target_of(v, d));
    int rest = 0;
    for (const auto& [first, count] : {std::pair(lead, rows), std::pair(lead + rows, columns)}) {
      Dims run(dims.begin() + int64_t(first), dims.begin() + int64_t(first + count));
      const TensorType type(DType::f32, run);
      const bool alone = count == 1 && first == target.size();
      target.push_back(type.is_static() ? type.numel() : alone ? 0 : -1);
      rest += target.back() == -1;
    }
    if (rest > 1) refuse_open();
    return b_.one("Reshape", {v, b_.ints(target)}, reading(v));
  }

  /// The axes of a product of such matrices, apart again.
  ValueId split(ValueId v, const Labels& batch, const Labels& left, const Labels& right) {
    if (left.size() == 1 && right.size() == 1) return v;
    std::vector<int64_t> target;
    for (size_t d = 0; d < batch.size(); ++d) target.push_back(target_of(v, d));
    int rest = 0;
    for (int label : both(left, right)) {
      const Dim& extent = e_.extent(label);
      const bool alone = left.size() == 1 && target.size() == batch.size();
      target.push_back(extent.known() ? extent.value() : alone ? 0 : -1);
      rest += target.back() == -1;
    }
    if (rest > 1) refuse_open();
    return b_.one("Reshape", {v, b_.ints(target)}, reading(v));
  }

  /// An axis in the target of a reshape that keeps it in its place.
  int64_t target_of(ValueId v, size_t axis) const {
    const TensorType& type = b_.type(v);
    return type.is_static() ? type.dims[axis].value() : 0;
  }
  /// How targets for v are meant: as numbers, or with 0 for "as it is".
  AttributeMap reading(ValueId v) const { return {{"allowzero", int64_t{b_.type(v).is_static()}}}; }

  int64_t extent_of(int label) const {
    if (!e_.extent(label).known()) refuse_open();
    return e_.extent(label).value();
  }
  [[noreturn]] static void refuse_open() {
    throw unsupported("Einsum", "merges or takes the diagonal of axes of unknown extent",
                      "specialise the network to fixed shapes");
  }

  Builder& b_;
  const Equation& e_;
};

Values expand(const Einsum& a, Builder& b, const Values& in) {
  std::vector<Type> types;
  for (ValueId v : in) types.emplace_back(b.type(v));
  const Equation e = equation_of(a, types);
  const ValueId y = Contraction(b, e).run(in);
  return {y == in[0] ? b.one("Identity", {y}) : y};
}

// A label's axes go together; diagonals and broadcast axes stay as they are.
AxisMap axes(const Einsum& a, const TypesIn& in, const Types&) {
  const Equation e = parse_equation(a.equation, in);
  AxisMap map;
  for (const auto& [label, extent] : e.extents) {
    if (!extent.known()) continue;
    AxisTie tie{extent.value(), {}};
    bool diagonal = false;
    for (size_t i = 0; i < e.operands.size(); ++i) {
      const Labels& labels = e.operands[i];
      diagonal = diagonal || std::count(labels.begin(), labels.end(), label) > 1;
      for (size_t d = 0; d < labels.size(); ++d)
        if (labels[d] == label && in[i].dims[d].is(tie.count))
          tie.places.push_back(AxisPlace::in(int(i), int64_t(d)));
    }
    if (diagonal) continue;
    for (size_t d = 0; d < e.result.size(); ++d)
      if (e.result[d] == label) tie.places.push_back(AxisPlace::out(0, int64_t(d)));
    map.ties.push_back(std::move(tie));
  }
  return map;
}

}  // namespace

const Room& einsum() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  static const Room room = make_room<Einsum>({
      .onnx = {"Einsum", 12},
      .arity = {1, kVariadic},
      .attributes = {required("equation", &Einsum::equation)},
      .infer = infer,
      .reference = ESP_REFERENCE(Einsum, reference),
      .gradient = Derive{},
      .cost = Derive{},
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = expand,
      .emit = Derive{},
      .samples = {{{"bij, bjk -> bik"}, {x({2, 3, 4}), x({2, 4, 2})}},
                  {{"ba"}, {x({2, 3})}},
                  {{"...ii->...i"}, {x({2, 3, 3})}},
                  {{"iij->j"}, {x({3, 3, 2})}},
                  {{"i,i"}, {x({4}), x({4})}},
                  {{"i,j->ji"}, {x({2}), x({3})}},
                  {{"...ij,...jk->...ik"}, {x({3, 1, 2, 4}), x({2, 4, 3})}},
                  {{"bqhd,bkhd->bhqk"}, {x({2, 3, 2, 4}), x({2, 2, 2, 4})}},
                  {{"abc,cde->adbe"}, {x({2, 3, 4}), x({4, 2, 3})}},
                  {{"abc,abc->a"}, {x({2, 3, 4}), x({2, 3, 4})}},
                  {{"ij,jk,kl->il"}, {x({2, 3}), x({3, 4}), x({4, 2})}},
                  {{"ij,k->j"}, {x({2, 3}), x({4})}},
                  {{"ij,ij->ij"}, {x({2, 3}), x({1, 3})}},
                  {{"ij,jk"}, {x({0, 3}), x({3, 2})}},
                  {{"ij,jk"}, {x({2, 0}), x({0, 2})}},
                  {{"ij,j->i"},
                   {OperandSpec::ranged({2, 3}, -9, 9, DType::i64),
                    OperandSpec::ranged({3}, -9, 9, DType::i64)}}},
  });
  return room;
}

}  // namespace espalier::ops
