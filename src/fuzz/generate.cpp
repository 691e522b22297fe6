#include "fuzz/generate.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "fuzz/expected.h"
#include "ir/builder.h"
#include "ir/interpret.h"
#include "ir/verify.h"
#include "passes/passes.h"

namespace espalier::fuzz {
namespace {

constexpr int kMostTries = 10000;

/// Runs `change` on a copy, which takes the case's place where it is fit.
template <class F>
bool attempt(Case& c, std::vector<std::string>& broken, F change) {
  Case next = c;
  try {
    if (!change(next)) return false;
  } catch (const UserError&) {
    return false;
  } catch (const std::exception& e) {
    broken.emplace_back(e.what());
    return false;
  }
  if (!is_fit(next, broken)) return false;
  c = std::move(next);
  return true;
}

/// Values that operand `spec` may be, the youngest last.
Values candidates(const Graph& g, const OperandSpec& spec) {
  Values found;
  for (size_t i = 0; i < g.value_count(); ++i) {
    const auto v = ValueId(i);
    if (!g.alive(v) || g.is_constant(v)) continue;
    const Type& t = g.value(v).type;
    if (t.is_static() && t.tensor().dtype == spec.dtype &&
        t.tensor().rank() == int64_t(spec.shape.size()))
      found.push_back(v);
  }
  return found;
}

}  // namespace

/// An operator about to be put into a graph: which operands take which values, and which numbers
/// these fix.
struct Generator::Place {
  const Form& form;
  Values bound;
  std::vector<bool> fixed;
  Assignment start;

  explicit Place(const Form& f)
      : form(f), bound(f.operands.size(), kNoValue), fixed(f.given, false), start(f.sample) {
    start.resize(f.given);
  }

  void bind(size_t slot, const Graph& g, ValueId v) {
    bound[slot] = v;
    const Shape shape = g.value(v).tensor().shape();
    for (size_t i = 0; i < form.given; ++i) {
      const Symbol& s = form.symbols[i];
      if (s.kind != Symbol::Kind::kExtent || size_t(s.slot) != slot) continue;
      start[i] = shape[size_t(s.index)];
      fixed[i] = true;
    }
  }

  void release(size_t slot) {
    bound[slot] = kNoValue;
    for (size_t i = 0; i < form.given; ++i)
      if (form.symbols[i].kind == Symbol::Kind::kExtent && size_t(form.symbols[i].slot) == slot)
        fixed[i] = false;
  }

  /// Operands that take values of the graph; one of them surely where any can.
  void join(const Graph& g, double chance, Dice& dice) {
    std::vector<size_t> slots;
    for (size_t i = 0; i < form.operands.size(); ++i)
      if (!form.operands[i].absent && !form.operands[i].value && !form.operands[i].constant &&
          !candidates(g, form.operands[i]).empty())
        slots.push_back(i);
    if (slots.empty()) return;
    const size_t sure = dice.pick(slots);
    for (size_t slot : slots) {
      if (slot != sure && !dice.chance(chance)) continue;
      const Values values = candidates(g, form.operands[slot]);
      bind(slot, g, dice.chance(0.5) ? values.back() : dice.pick(values));
    }
  }

  size_t joined() const {
    return size_t(std::ranges::count_if(bound, [](ValueId v) { return v != kNoValue; }));
  }

  /// Lets go of one operand at random; false where none was bound.
  bool loosen(Dice& dice) {
    std::vector<size_t> slots;
    for (size_t i = 0; i < bound.size(); ++i)
      if (bound[i] != kNoValue) slots.push_back(i);
    if (slots.empty()) return false;
    release(dice.pick(slots));
    return true;
  }
};

const Form& Generator::any_form(Dice& dice) {
  const std::vector<Form>& forms = library_.forms(dice.below(library_.operators()));
  return dice.pick(forms);
}

Values append(Case& c, const Form& f, const Assignment& numbers, const Values& bound,
              double parameters, Dice& dice) {
  const Use use = use_of(f, numbers);
  Graph& g = c.graph;
  Values operands;
  for (size_t i = 0; i < use.operands.size(); ++i) {
    const OperandSpec& s = use.operands[i];
    const Range range{s.lo, s.hi};
    if (s.absent) {
      operands.push_back(kNoValue);
    } else if (bound[i] != kNoValue) {
      operands.push_back(bound[i]);
    } else if (s.value) {
      operands.push_back(g.add_constant(g.fresh_name("k"), *s.value));
    } else if (s.constant ||
               (!g.inputs().empty() && is_float(s.dtype) && dice.chance(parameters))) {
      operands.push_back(g.add_constant(g.fresh_name("w"),
                                        drawn(s.dtype, s.shape, range, dice.fork()),
                                        s.constant ? Role::kNone : Role::kParameter));
    } else {
      const std::string name = g.fresh_name("x");
      c.ranges[name] = range;
      operands.push_back(g.add_input(name, TensorType(s.dtype, s.shape)));
    }
  }
  Values results = Builder(g).op(*f.room, use.attrs, std::move(operands));
  if (f.results > 0 && size_t(f.results) < results.size()) {
    g.drop_results(g.value(results.at(0)).producer, size_t(f.results));
    results.resize(size_t(f.results));
  }
  return results;
}

bool is_fit(const Case& c, std::vector<std::string>& broken) {
  const Graph& g = c.graph;
  if (g.order().empty() || g.inputs().empty()) return false;
  for (NodeId id : g.order())
    for (ValueId v : g.node(id).outputs)
      if (v == kNoValue || !g.value(v).type.is_tensor() ||
          g.value(v).tensor().dtype == DType::string)
        return false;
  try {
    if (!violation(g).empty()) return false;
    const auto why = unfit(g, inputs_of(c));
    if (why && why->starts_with("failed: ")) broken.push_back(*why);
    return !why;
  } catch (const UserError&) {
    return false;
  } catch (const std::exception& e) {
    broken.emplace_back(e.what());
    return false;
  }
}

bool Generator::forwards(Case& c, const GrowOptions& o, Dice& dice, Growth& growth) {
  const Form& f = any_form(dice);
  Place place(f);
  place.join(c.graph, o.joined, dice);
  for (bool again = true; again;) {
    ++growth.attempts;
    Assignment start = disturbed(f, place.fixed, place.start, dice.fork());
    std::optional<Assignment> numbers = std::move(start);
    if (o.rules)
      numbers = solved(f, library_.rules(f), std::move(*numbers), place.fixed, false, dice.fork());
    const bool put = numbers && attempt(c, growth.broken, [&](Case& next) {
                       append(next, f, *numbers, place.bound, o.parameters, dice);
                       return true;
                     });
    if (put) {
      ++growth.nodes;
      growth.joined += int64_t(place.joined());
      return true;
    }
    ++growth.refused;
    again = place.loosen(dice);
  }
  return false;
}

bool Generator::backwards(Case& c, const GrowOptions& o, Dice& dice, Growth& growth) {
  const std::vector<ValueId> inputs(c.graph.inputs().begin(), c.graph.inputs().end());
  if (inputs.empty()) return false;
  const ValueId target = dice.pick(inputs);
  const Type type = c.graph.value(target).type;
  if (!type.is_static()) return false;
  const Form& f = any_form(dice);
  if (f.symbols.size() - f.given != size_t(type.tensor().rank()) || f.symbols.size() == f.given)
    return false;
  const Shape shape = type.tensor().shape();
  Assignment start = f.sample;
  std::vector<bool> fixed(f.symbols.size(), false);
  for (size_t d = 0; d < shape.size(); ++d) {
    start[f.given + d] = shape[d];
    fixed[f.given + d] = true;
  }
  ++growth.attempts;
  std::optional<Assignment> numbers = start;
  if (o.rules) numbers = solved(f, library_.rules(f), std::move(start), fixed, true, dice.fork());
  const bool put = numbers && attempt(c, growth.broken, [&](Case& next) {
                     const std::string name = next.graph.value(target).name;
                     const Values none(f.operands.size(), kNoValue);
                     const ValueId result =
                         append(next, f, *numbers, none, o.parameters, dice).at(0);
                     if (!(next.graph.value(result).type == type)) return false;
                     next.graph.replace_uses(target, result);
                     next.graph.erase_input(target);
                     next.ranges.erase(name);
                     next.graph.sort();
                     return true;
                   });
  growth.nodes += put;
  growth.joined += put;
  growth.refused += !put;
  return put;
}

bool Generator::insert(Case& c, const GrowOptions& o, Dice& dice, Growth& growth) {
  return dice.chance(o.backwards) ? backwards(c, o, dice, growth) : forwards(c, o, dice, growth);
}

bool retype(Case& c, DType dtype) {
  std::vector<std::string> ignored;
  return attempt(c, ignored, [&](Case& next) {
    next.graph = retyped_floats(next.graph, dtype);
    return true;
  });
}

bool open_extent(Case& c, Dice& dice) {
  std::vector<std::string> ignored;
  return c.extents.empty() && attempt(c, ignored, [&](Case& next) {
           Graph& g = next.graph;
           const std::vector<ValueId> inputs(g.inputs().begin(), g.inputs().end());
           const TensorType type = g.value(dice.pick(inputs)).tensor();
           if (type.rank() == 0) return false;
           const size_t axis = dice.chance(0.7) ? 0 : dice.below(size_t(type.rank()));
           const Dim extent = type.dims[axis];
           for (ValueId v : inputs) {
             TensorType t = g.value(v).tensor();
             if (axis >= t.dims.size() || !(t.dims[axis] == extent)) continue;
             t.dims[axis] = Dim::symbol("N");
             g.mutable_value(v).type = t;
           }
           next.extents["N"] = extent.value();
           reinfer(g);
           return true;
         });
}

Case Generator::grow(const GrowOptions& o, const Rng& rng, Growth& growth) {
  Dice dice(rng);
  Case c;
  c.graph.name = "grown";
  c.seed = dice.below(1u << 30);
  c.passes = inference_pipeline();
  for (int i = 0; i < o.insertions && int(c.graph.order().size()) < o.nodes; ++i)
    insert(c, o, dice, growth);
  // An operator alone needs nothing but its own sample: a few tries find one.
  for (int i = 0; i < kMostTries && c.graph.order().empty(); ++i) forwards(c, o, dice, growth);
  ESP_CHECK(!c.graph.order().empty(), "no operator could be put into an empty graph");
  settle(c);
  constexpr std::array kWidths = {DType::bf16, DType::f16, DType::f64, DType::bf16};
  if (dice.chance(o.retyped)) retype(c, kWidths[dice.below(kWidths.size())]);
  if (dice.chance(o.symbolic)) open_extent(c, dice);
  return c;
}

}  // namespace espalier::fuzz
