#include "ir/builder.h"

#include <algorithm>

#include "base/error.h"
#include "ir/registry.h"

namespace espalier {

TypesIn types_in(const Graph& graph, const Room& room, const Values& inputs,
                 const std::string& where) {
  std::vector<TypesIn::Operand> operands;
  operands.reserve(inputs.size());
  for (ValueId v : inputs) {
    if (v == kNoValue) {
      operands.push_back({});
      continue;
    }
    const Value& value = graph.value(v);
    operands.push_back({&value.type, value.constant ? &*value.constant : nullptr});
  }
  return TypesIn(where.empty() ? room.full_name() : where, std::move(operands));
}

TypesIn types_in(const Graph& graph, NodeId id) {
  const Node& n = graph.node(id);
  return types_in(graph, *n.room, n.inputs, describe(graph, id));
}

Types types_out(const Graph& graph, NodeId id) {
  const Node& n = graph.node(id);
  Types types;
  for (ValueId v : n.outputs) {
    if (v == kNoValue)
      types.push_back(
          infer_types(graph, *n.room, n.attrs, n.inputs, describe(graph, id)).at(types.size()));
    else
      types.push_back(graph.value(v).type);
  }
  return types;
}

void check_operands(const Room& room, const TypesIn& in) {
  const int count = int(in.size()), least = room.arity.min_inputs, most = room.arity.max_inputs;
  if (count < least || count > most) {
    const std::string wanted = most == kVariadic ? "at least " + std::to_string(least)
                               : least == most
                                   ? std::to_string(least)
                                   : std::to_string(least) + " to " + std::to_string(most);
    in.fail("has " + std::to_string(count) + " operands, " + wanted + " are needed");
  }
  for (int i = 0; i < count; ++i)
    if (!in.has(size_t(i)) && !room.gaps && (i < least || most == kVariadic))
      in.fail("operand " + std::to_string(i) + " is missing");
}

namespace {

/// Ranks that an operand of unknown rank is taken to have.
constexpr int64_t kMostRank = 6;

bool any_unranked(const TypesIn& in) {
  return std::ranges::any_of(in.operands(),
                             [](const auto& o) { return o.type && o.type->is_unranked(); });
}

Types infer_by_expansion(const Room& room, const Attributes& attrs, const TypesIn& in) {
  Graph scratch;
  Values operands;
  for (const TypesIn::Operand& o : in.operands())
    operands.push_back(!o.type      ? kNoValue
                       : o.constant ? scratch.add_constant("", *o.constant)
                                    : scratch.add_input("", *o.type));
  Builder builder(scratch);
  Types types;
  for (ValueId v : expand_node(room, attrs, builder, operands))
    types.push_back(scratch.value(v).type);
  return types;
}

Types infer_ranked(const Room& room, const Attributes& attrs, const TypesIn& in) {
  return room.infer.derived() ? infer_by_expansion(room, attrs, in) : (*room.infer)(attrs, in);
}

/// The answers for every combination of ranks of operands without one, joined. Of more than two
/// such operands only equal ranks are tried.
class OverRanks {
 public:
  OverRanks(const Room& room, const Attributes& attrs, const TypesIn& in)
      : room_(room), attrs_(attrs), in_(in) {
    for (const auto& o : in.operands())
      if (o.type && o.type->is_unranked() && std::ranges::find(open_, o.type) == open_.end())
        open_.push_back(o.type);
  }

  Types run() {
    const bool equal = open_.size() > 2;
    for (int64_t first = 0; first <= kMostRank; ++first) {
      std::vector<int64_t> ranks(open_.size(), first);
      if (equal || open_.size() == 1) {
        attempt(ranks);
        continue;
      }
      for (ranks[1] = 0; ranks[1] <= kMostRank; ++ranks[1]) attempt(ranks);
    }
    if (!found_) throw *refusal_;
    return std::move(*found_);
  }

 private:
  void attempt(const std::vector<int64_t>& ranks) {
    std::vector<Type> assumed;
    for (size_t i = 0; i < open_.size(); ++i)
      assumed.push_back(
          TensorType(*element_type_of(*open_[i]), Dims(size_t(ranks[i]), Dim::unknown())));
    std::vector<TypesIn::Operand> operands = in_.operands();
    for (auto& o : operands)
      for (size_t i = 0; i < open_.size(); ++i)
        if (o.type == open_[i]) o.type = &assumed[i];
    try {
      add(infer_ranked(room_, attrs_, TypesIn(in_.where(), operands)));
    } catch (const UserError& e) {
      if (!refusal_) refusal_ = e;
    }
  }

  void add(Types types) {
    if (!found_) {
      found_ = std::move(types);
      return;
    }
    found_->resize(std::min(found_->size(), types.size()));
    for (size_t i = 0; i < found_->size(); ++i) {
      auto both = joined((*found_)[i], types[i]);
      if (!both) in_.fail("its result's element type depends on a rank that is not known");
      (*found_)[i] = std::move(*both);
    }
  }

  const Room& room_;
  const Attributes& attrs_;
  const TypesIn& in_;
  std::vector<const Type*> open_;
  std::optional<Types> found_;
  std::optional<UserError> refusal_;
};

}  // namespace

Types infer_types(const Room& room, const Attributes& attrs, const TypesIn& in) {
  check_operands(room, in);
  if (room.infer.refused()) throw unsupported(in.where(), room.infer.why());
  if (room.infer.derived() && any_unranked(in)) return OverRanks(room, attrs, in).run();
  try {
    return infer_ranked(room, attrs, in);
  } catch (const UnknownRank&) {
    if (!any_unranked(in)) throw;
    return OverRanks(room, attrs, in).run();
  }
}

Types infer_types(const Graph& graph, const Room& room, const Attributes& attrs,
                  const Values& inputs, const std::string& where) {
  return infer_types(room, attrs, types_in(graph, room, inputs, where));
}

Values expand_node(const Room& room, const Attributes& attrs, Builder& builder,
                   const Values& inputs) {
  ESP_CHECK(room.expand.answered(), room.full_name() + " derives a facet but has no expansion");
  return (*room.expand)(attrs, builder, inputs);
}

Values Builder::op(const Room& room, Attributes attributes, Values inputs, std::string name,
                   std::vector<std::string> output_names) {
  const std::string where = name.empty() ? room.full_name() : room.full_name() + " '" + name + "'";
  Types types = infer_types(graph_, room, attributes, inputs, where);
  const NodeId id = graph_.add_node(room, std::move(attributes), std::move(inputs),
                                    std::move(types), std::move(name), std::move(output_names));
  return graph_.node(id).outputs;
}

Values Builder::op(std::string_view full_name, Values inputs, const AttributeMap& attributes,
                   std::string name, std::vector<std::string> output_names) {
  const Room& room = room_named(full_name);
  Attributes typed = room.parse(attributes, name.empty() ? room.full_name() : name);
  return op(room, std::move(typed), std::move(inputs), std::move(name), std::move(output_names));
}

ValueId Builder::one(std::string_view full_name, Values inputs, const AttributeMap& attributes,
                     std::string name) {
  return op(full_name, std::move(inputs), attributes, std::move(name)).at(0);
}

ValueId Builder::constant(Tensor value, std::string name) {
  return graph_.add_constant(name.empty() ? graph_.fresh_name("c") : std::move(name),
                             std::move(value));
}

ValueId Builder::scalar(double value, ValueId like) {
  if (type(like).dtype == DType::string)
    throw bad_input("'" + graph_.value(like).name + "'", "holds strings, numbers are needed");
  return constant(Tensor::scalar<double>(value).cast(type(like).dtype));
}

ValueId Builder::ints(std::vector<int64_t> values) { return constant(Tensor::vector_i64(values)); }

ValueId Builder::transpose(ValueId a, std::vector<int64_t> permutation) {
  return one("Transpose", {a}, {{"perm", std::move(permutation)}});
}
ValueId Builder::reshape(ValueId a, std::vector<int64_t> shape) {
  return one("Reshape", {a, ints(std::move(shape))});
}
ValueId Builder::reshape_behind_first(ValueId a, std::vector<int64_t> rest) {
  const Dim first = type(a).dims.at(0);
  rest.insert(rest.begin(), first.known() ? first.value() : 0);
  return one("Reshape", {a, ints(std::move(rest))}, {{"allowzero", int64_t{first.known()}}});
}
ValueId Builder::reduce_sum(ValueId a, std::vector<int64_t> axes, bool keepdims) {
  return one("ReduceSum", {a, ints(std::move(axes))}, {{"keepdims", int64_t{keepdims}}});
}
ValueId Builder::reduce_mean(ValueId a, std::vector<int64_t> axes, bool keepdims) {
  return one("ReduceMean", {a}, {{"axes", std::move(axes)}, {"keepdims", int64_t{keepdims}}});
}
ValueId Builder::cast(ValueId a, DType to) {
  if (type(a).dtype == to) return a;
  return one("Cast", {a}, {{"to", detail::onnx_number(to)}});
}

ValueId Builder::unbroadcast(ValueId gradient, ValueId like) {
  const TensorType from = type(gradient), to = type(like);
  if (from.dims == to.dims) return gradient;
  std::vector<int64_t> axes;
  const int64_t lead = from.rank() - to.rank();
  for (int64_t axis = 0; axis < from.rank(); ++axis)
    if (axis < lead || (to.dims[size_t(axis - lead)].is(1) && !from.dims[size_t(axis)].is(1)))
      axes.push_back(axis);
  ValueId sum = axes.empty() ? gradient : reduce_sum(gradient, axes, true);
  if (lead > 0) {
    std::vector<int64_t> drop;
    for (int64_t axis = 0; axis < lead; ++axis) drop.push_back(axis);
    sum = one("Squeeze", {sum, ints(drop)});
  }
  return sum;
}

}  // namespace espalier
