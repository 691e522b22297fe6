// The typed-to-erased bridge of room.h.
#pragma once

#include <memory>
#include <type_traits>

#include "ir/room.h"

namespace espalier {
namespace detail {

template <class T>
struct optional_inner {
  using type = T;
  static constexpr bool is_optional = false;
};
template <class T>
struct optional_inner<std::optional<T>> {
  using type = T;
  static constexpr bool is_optional = true;
};

/// ONNX numbers of element types (TensorProto.DataType).
int64_t onnx_number(DType type);
DType dtype_from_onnx_number(int64_t number, const std::string& where);
[[noreturn]] void wrong_attribute_kind(const std::string& name, const std::string& where);

/// The alternative of AttributeValue that carries a member of type T.
template <class T>
using carrier = std::conditional_t<std::is_same_v<T, bool> || std::is_same_v<T, DType>, int64_t, T>;

template <class T>
AttributeValue to_attribute(const T& v) {
  if constexpr (std::is_same_v<T, bool>)
    return int64_t{v};
  else if constexpr (std::is_same_v<T, DType>)
    return onnx_number(v);
  else
    return v;
}

template <class T>
T from_attribute(const AttributeValue& v, const std::string& name, const std::string& where) {
  const auto* p = std::get_if<carrier<T>>(&v);
  if (!p) {
    // Empty lists carry no element kind in some files.
    if constexpr (std::is_same_v<T, std::vector<int64_t>>) {
      if (const auto* f = std::get_if<std::vector<float>>(&v); f && f->empty()) return {};
    }
    if constexpr (std::is_same_v<T, float>) {
      if (const auto* i = std::get_if<int64_t>(&v)) return float(*i);
    }
    wrong_attribute_kind(name, where);
  }
  if constexpr (std::is_same_v<T, bool>)
    return *p != 0;
  else if constexpr (std::is_same_v<T, DType>)
    return dtype_from_onnx_number(*p, where);
  else
    return *p;
}

using Fields = std::shared_ptr<const std::vector<Field>>;

/// Shared by what reads and what writes them; they must all be members of `of`.
Fields fields_of(const std::type_info& of, std::vector<Field> fields);
std::vector<std::string> names_of(const std::vector<Field>& fields);
/// Fills the struct: UserError for unknown, missing or mistyped attributes.
void read_attributes(const std::vector<Field>& fields, const AttributeMap& map,
                     const std::string& where, void* attributes);
/// Of those equal to `defaults` (null: there are none) only the required ones.
AttributeMap write_attributes(const std::vector<Field>& fields, const void* attributes,
                              const void* defaults);
void add_sample(Room& room, Attributes attributes, std::vector<OperandSpec> inputs, int results);

}  // namespace detail

template <class A, class T>
Field::Field(std::string n, T A::*member, bool is_required)
    : name(std::move(n)), required(is_required), of(&typeid(A)) {
  using Inner = typename detail::optional_inner<T>::type;
  set = [member](void* a, const AttributeValue& v, const Field& f, const std::string& where) {
    static_cast<A*>(a)->*member = detail::from_attribute<Inner>(v, f.name, where);
  };
  get = [member](const void* a) -> std::optional<AttributeValue> {
    const T& value = static_cast<const A*>(a)->*member;
    if constexpr (detail::optional_inner<T>::is_optional) {
      if (!value) return std::nullopt;
      return detail::to_attribute<Inner>(*value);
    } else {
      return detail::to_attribute<Inner>(value);
    }
  };
}

template <class A>
MaybeControlOf<A>::MaybeControlOf(ControlOf<A> c)
    : erased(ControlForm{
          FunctionOf<A, std::vector<GraphRef>()>(std::move(c.bodies)).erased,
          FunctionOf<A, size_t()>(std::move(c.captured)).erased,
          FunctionOf<A, std::vector<Datum>(const ControlCall&)>(std::move(c.run)).erased,
          {}}) {
  if (c.inlined)
    erased->inlined =
        FunctionOf<A, std::optional<size_t>(const TypesIn&)>(std::move(c.inlined)).erased;
}

template <class A>
Room make_room(RoomOf<A> t) {
  const auto fields = detail::fields_of(typeid(A), std::move(t.attributes));
  Room room{
      .op = std::move(t.onnx),
      .arity = t.arity,
      .attribute_names = detail::names_of(*fields),
      .parse =
          [fields](const AttributeMap& map, const std::string& where) {
            A a{};
            detail::read_attributes(*fields, map, where, &a);
            return Attributes::of<A>(std::move(a));
          },
      .print =
          [fields](const Attributes& erased, bool all) {
            const A defaults{};
            return detail::write_attributes(*fields, &erased.as<A>(), all ? nullptr : &defaults);
          },
      .infer = std::move(t.infer.erased),
      .reference = std::move(t.reference.f32.erased),
      .reference_f64 = std::move(t.reference.f64.erased),
      .gradient = std::move(t.gradient.erased),
      .cost = std::move(t.cost.erased),
      .axes = std::move(t.axes.erased),
      .quantize = std::move(t.quantize.erased),
      .pointwise = std::move(t.pointwise.erased),
      .expand = std::move(t.expand.erased),
      .emit = std::move(t.emit.erased),
      .samples = {},
      .kinks = std::move(t.kinks),
      .deterministic = t.deterministic,
      .with_mode = std::move(t.with_mode.erased),
      .random_key = t.random_key,
      .resized = std::move(t.resized.erased),
      .known = std::move(t.known.erased),
      .gaps = t.gaps,
      .control = std::move(t.control.erased),
  };
  for (SampleOf<A>& s : t.samples)
    detail::add_sample(room, Attributes::of<A>(std::move(s.attrs)), std::move(s.inputs), s.results);
  return room;
}

}  // namespace espalier
