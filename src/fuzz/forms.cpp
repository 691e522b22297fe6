#include "fuzz/forms.h"

#include <algorithm>

#include "base/error.h"
#include "fuzz/case.h"
#include "ir/builder.h"

namespace espalier::fuzz {
namespace {

/// Longer lists are data rather than settings.
constexpr int64_t kLongestList = 8;
/// Operands get axes up to this rank.
constexpr int64_t kMostRank = 4;

bool is_list(const OperandSpec& s) {
  return s.value && s.constant && (s.dtype == DType::i64 || s.dtype == DType::i32) &&
         s.value->rank() <= 1 && s.value->size() <= kLongestList;
}

/// Operands that symbols give the extents of.
bool is_open(const OperandSpec& s) { return !s.absent && !s.value; }

void add_symbols(Form& f) {
  const auto add = [&](Symbol s, int64_t value) {
    f.symbols.push_back(std::move(s));
    f.sample.push_back(value);
  };
  for (size_t i = 0; i < f.operands.size(); ++i) {
    const OperandSpec& s = f.operands[i];
    if (is_open(s))
      for (size_t d = 0; d < s.shape.size(); ++d)
        add({Symbol::Kind::kExtent, int(i), int(d), ""}, s.shape[d]);
    if (!s.absent && is_list(s))
      for (int64_t k = 0; k < s.value->size(); ++k)
        add({Symbol::Kind::kElement, int(i), int(k), ""}, s.value->int_at(k));
  }
  for (const auto& [name, value] : f.attributes) {
    if (const auto* one = std::get_if<int64_t>(&value))
      add({Symbol::Kind::kAttribute, 0, -1, name}, *one);
    if (const auto* list = std::get_if<std::vector<int64_t>>(&value))
      for (size_t k = 0; k < list->size() && k < size_t(kLongestList); ++k)
        add({Symbol::Kind::kAttribute, 0, int(k), name}, (*list)[k]);
  }
  f.given = f.symbols.size();
}

/// Adds the first result's extents; false where the form cannot stand in a graph of tensors.
bool add_result(Form& f) {
  Types results;
  try {
    results = types_of(f, f.sample);
  } catch (const std::exception&) {
    return false;
  }
  const size_t asked = f.results > 0 ? size_t(f.results) : results.size();
  if (asked == 0 || results.size() < asked) return false;
  for (size_t i = 0; i < asked; ++i)
    if (!results[i].is_tensor() || results[i].tensor().dtype == DType::string) return false;
  if (!results[0].is_static()) return true;
  for (int64_t d = 0; d < results[0].tensor().rank(); ++d)
    f.symbols.push_back({Symbol::Kind::kResult, 0, int(d), ""});
  f.sample = with_result(f, std::move(f.sample), results);
  return true;
}

bool usable(const Room& room, const Sample& s, const AttributeMap& attributes) {
  if (room.control || room.reference.refused() || !room.deterministic) return false;
  for (const OperandSpec& o : s.inputs)
    if (!o.absent && (o.form != OperandSpec::Form::kTensor || o.dtype == DType::string))
      return false;
  return std::ranges::none_of(attributes, [](const auto& a) {
    return std::holds_alternative<GraphRef>(a.second) || std::holds_alternative<Type>(a.second);
  });
}

/// The form with `more` axes before those of the operands of highest rank.
std::optional<Form> lifted(Form f, int more) {
  int64_t most = 0;
  for (const OperandSpec& s : f.operands)
    if (is_open(s)) most = std::max(most, int64_t(s.shape.size()));
  if (most == 0 || most + more > kMostRank) return std::nullopt;
  for (OperandSpec& s : f.operands)
    if (is_open(s) && int64_t(s.shape.size()) == most)
      s.shape.insert(s.shape.begin(), size_t(more), 2);
  add_symbols(f);
  if (!add_result(f)) return std::nullopt;
  return f;
}

}  // namespace

std::string to_string(const Symbol& s) {
  const std::string index = "." + std::to_string(s.index);
  switch (s.kind) {
    case Symbol::Kind::kExtent: return "s" + std::to_string(s.slot) + index;
    case Symbol::Kind::kElement: return "c" + std::to_string(s.slot) + index;
    case Symbol::Kind::kAttribute: return s.index < 0 ? s.attribute : s.attribute + index;
    case Symbol::Kind::kResult: return "y" + index;
  }
  return "";
}

Use use_of(const Form& f, const Assignment& numbers) {
  Use use{{}, f.operands};
  AttributeMap attributes = f.attributes;
  std::vector<std::vector<int64_t>> lists(f.operands.size());
  for (size_t i = 0; i < f.given; ++i) {
    const Symbol& s = f.symbols[i];
    const int64_t n = numbers[i];
    if (s.kind == Symbol::Kind::kExtent) {
      use.operands[size_t(s.slot)].shape[size_t(s.index)] = n;
    } else if (s.kind == Symbol::Kind::kElement) {
      lists[size_t(s.slot)].push_back(n);
    } else if (s.index < 0) {
      attributes[s.attribute] = n;
    } else {
      std::get<std::vector<int64_t>>(attributes[s.attribute])[size_t(s.index)] = n;
    }
  }
  for (size_t i = 0; i < lists.size(); ++i) {
    if (lists[i].empty()) continue;
    OperandSpec& o = use.operands[i];
    o.value = Tensor::vector_i64(lists[i]).reshaped(o.value->shape()).cast(o.dtype);
  }
  use.attrs = f.room->parse(attributes, f.room->full_name());
  return use;
}

Types types_of(const Form& f, const Assignment& numbers) {
  const Use use = use_of(f, numbers);
  std::vector<Type> types(use.operands.size());
  std::vector<Tensor> constants(use.operands.size());
  std::vector<TypesIn::Operand> operands(use.operands.size());
  for (size_t i = 0; i < use.operands.size(); ++i) {
    const OperandSpec& s = use.operands[i];
    if (s.absent) continue;
    for (int64_t extent : s.shape)
      if (extent < 0) throw bad_input(f.room->full_name(), "an extent is below zero");
    types[i] = TensorType(s.dtype, s.shape);
    operands[i].type = &types[i];
    if (!s.constant) continue;
    constants[i] = s.value ? *s.value : drawn(s.dtype, s.shape, {s.lo, s.hi}, Rng(0, i));
    operands[i].constant = &constants[i];
  }
  return infer_types(*f.room, use.attrs, TypesIn(f.room->full_name(), std::move(operands)));
}

Assignment with_result(const Form& f, Assignment numbers, const Types& results) {
  numbers.resize(f.given);
  if (f.symbols.size() == f.given || results.empty() || !results[0].is_static()) return numbers;
  const Shape shape = results[0].tensor().shape();
  if (shape.size() != f.symbols.size() - f.given) return numbers;
  numbers.insert(numbers.end(), shape.begin(), shape.end());
  return numbers;
}

std::vector<Form> forms_of(const Room& room) {
  std::vector<Form> forms;
  for (const Sample& s : room.samples) {
    Form f;
    f.room = &room;
    f.attributes = room.print(s.attrs, true);
    f.operands = s.inputs;
    f.results = s.results;
    if (!usable(room, s, f.attributes)) continue;
    for (int more = 1; more < kMostRank; ++more)
      if (auto wider = lifted(f, more)) forms.push_back(std::move(*wider));
    add_symbols(f);
    if (add_result(f)) forms.push_back(std::move(f));
  }
  return forms;
}

}  // namespace espalier::fuzz
