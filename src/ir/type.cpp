#include "ir/type.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"

namespace espalier {

int64_t Dim::value() const {
  ESP_CHECK(known(), "a symbolic dimension was used as a number");
  return value_;
}

bool TensorType::is_static() const {
  for (const Dim& d : dims)
    if (!d.known()) return false;
  return true;
}

Shape TensorType::shape() const {
  Shape s;
  s.reserve(dims.size());
  for (const Dim& d : dims) s.push_back(d.value());
  return s;
}

bool SequenceType::operator==(const SequenceType& o) const { return *element == *o.element; }
bool OptionalType::operator==(const OptionalType& o) const { return *element == *o.element; }

const TensorType& Type::tensor() const {
  const auto* t = std::get_if<TensorType>(&form);
  ESP_CHECK(t != nullptr, to_string(*this) + " was used as a tensor of known rank");
  return *t;
}

const Type& Type::element() const {
  if (const auto* s = std::get_if<SequenceType>(&form)) return *s->element;
  const auto* o = std::get_if<OptionalType>(&form);
  ESP_CHECK(o != nullptr, "a tensor was used as a sequence or optional");
  return *o->element;
}

Type sequence_of(Type element) {
  return SequenceType{std::make_shared<const Type>(std::move(element))};
}
Type optional_of(Type element) {
  return OptionalType{std::make_shared<const Type>(std::move(element))};
}

std::optional<DType> element_type_of(const Type& type) {
  if (const auto* t = std::get_if<TensorType>(&type.form)) return t->dtype;
  if (const auto* u = std::get_if<UnrankedType>(&type.form)) return u->dtype;
  return std::nullopt;
}

std::string to_string(const Dim& dim) {
  if (dim.known()) return std::to_string(dim.value());
  return dim.name().empty() ? "?" : dim.name();
}

std::string to_string(const TensorType& type) {
  std::string s(name_of(type.dtype));
  s += "[";
  for (size_t i = 0; i < type.dims.size(); ++i) s += (i ? "," : "") + to_string(type.dims[i]);
  return s + "]";
}

std::string to_string(const Type& type) {
  if (const auto* s = std::get_if<SequenceType>(&type.form))
    return "seq(" + to_string(*s->element) + ")";
  if (const auto* o = std::get_if<OptionalType>(&type.form))
    return "optional(" + to_string(*o->element) + ")";
  if (const auto* u = std::get_if<UnrankedType>(&type.form))
    return std::string(name_of(u->dtype)) + "[...]";
  return to_string(type.tensor());
}

namespace {

UserError malformed(std::string_view text) {
  return bad_input("type", "'" + std::string(text.substr(0, 80)) + "' is not a type",
                   "write it like f32[N,3,32,32], seq(f32[?]) or optional(i64[])");
}

}  // namespace

Type parse_type(std::string_view text) {
  constexpr int64_t kDeepest = 64;  // far above any real type
  if (std::ranges::count(text, '(') > kDeepest) throw malformed(text);
  const auto wrapped = [&](std::string_view word) -> std::shared_ptr<const Type> {
    if (!text.starts_with(word) || text.size() <= word.size() + 1 || text[word.size()] != '(' ||
        text.back() != ')')
      return nullptr;
    return std::make_shared<Type>(
        parse_type(text.substr(word.size() + 1, text.size() - word.size() - 2)));
  };
  if (auto element = wrapped("seq")) return SequenceType{element};
  if (auto element = wrapped("optional")) return OptionalType{element};
  const size_t open = text.find('[');
  if (open == std::string_view::npos || text.back() != ']') throw malformed(text);
  const auto dtype = dtype_from_name(text.substr(0, open));
  if (!dtype) throw malformed(text);
  TensorType type;
  type.dtype = *dtype;
  std::string_view rest = text.substr(open + 1, text.size() - open - 2);
  if (rest == "...") return UnrankedType{*dtype};
  while (!rest.empty()) {
    const size_t comma = rest.find(',');
    const std::string_view word = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 1);
    int64_t value = 0;
    const auto [end, status] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (word == "?") {
      type.dims.push_back(Dim::unknown());
    } else if (status == std::errc{} && end == word.data() + word.size() && value >= 0) {
      type.dims.emplace_back(value);
    } else if (!word.empty() && (isalpha(static_cast<unsigned char>(word[0])) || word[0] == '_')) {
      type.dims.push_back(Dim::symbol(std::string(word)));
    } else {
      throw malformed(text);
    }
  }
  return type;
}

bool refines(const Type& special, const Type& general) {
  if (general.is_unranked()) return element_type_of(special) == element_type_of(general);
  if (special.form.index() != general.form.index()) return false;
  if (const auto* s = std::get_if<SequenceType>(&special.form))
    return refines(*s->element, *std::get<SequenceType>(general.form).element);
  if (const auto* s = std::get_if<OptionalType>(&special.form))
    return refines(*s->element, *std::get<OptionalType>(general.form).element);
  const TensorType &a = special.tensor(), &b = general.tensor();
  if (a.dtype != b.dtype || a.rank() != b.rank()) return false;
  for (size_t i = 0; i < a.dims.size(); ++i)
    if (b.dims[i].known() && !(a.dims[i] == b.dims[i])) return false;
  return true;
}

std::optional<Type> joined(const Type& a, const Type& b) {
  if (const auto dtype = element_type_of(a)) {
    if (element_type_of(b) != dtype) return std::nullopt;
    if (!a.is_tensor() || !b.is_tensor() || a.tensor().rank() != b.tensor().rank())
      return UnrankedType{*dtype};
    TensorType type = a.tensor();
    for (size_t i = 0; i < type.dims.size(); ++i)
      if (!(type.dims[i] == b.tensor().dims[i])) type.dims[i] = Dim::unknown();
    return type;
  }
  if (a.form.index() != b.form.index()) return std::nullopt;
  const auto element = joined(a.element(), b.element());
  if (!element) return std::nullopt;
  return a.is_sequence() ? sequence_of(*element) : optional_of(*element);
}

}  // namespace espalier
