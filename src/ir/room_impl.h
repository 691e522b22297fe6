// The typed-to-erased bridge of room.h.
#pragma once

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
[[noreturn]] void unknown_attribute(const std::string& name, const std::vector<std::string>& known,
                                    const std::string& where);
[[noreturn]] void missing_attribute(const std::string& name, const std::string& where);

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

bool equal_attributes(const AttributeValue& a, const AttributeValue& b);

}  // namespace detail

template <class A>
template <class T>
Field<A>::Field(std::string n, T A::*member, bool is_required)
    : name(std::move(n)), required(is_required) {
  using Inner = typename detail::optional_inner<T>::type;
  set = [member, name = name](A& a, const AttributeValue& v, const std::string& where) {
    a.*member = detail::from_attribute<Inner>(v, name, where);
  };
  get = [member](const A& a) -> std::optional<AttributeValue> {
    if constexpr (detail::optional_inner<T>::is_optional) {
      if (!(a.*member)) return std::nullopt;
      return detail::to_attribute<Inner>(*(a.*member));
    } else {
      return detail::to_attribute<Inner>(a.*member);
    }
  };
}

template <class A>
Room make_room(RoomOf<A> t) {
  const auto bind1 = [](auto f) {
    return [f](const Attributes& a, auto&&... args) {
      return f(a.as<A>(), std::forward<decltype(args)>(args)...);
    };
  };
  using std::function;
  Room room{
      .op = t.onnx,
      .arity = t.arity,
      .attribute_names = {},
      .parse = {},
      .print = {},
      .infer = t.infer.template map<function<Types(const Attributes&, const TypesIn&)>>(bind1),
      .reference = t.reference.template map<function<void(const Attributes&, Ref<float>&)>>(
          [&](const ReferenceOf<A>& r) { return bind1(r.f32); }),
      .reference_f64 = t.reference.template map<function<void(const Attributes&, Ref<double>&)>>(
          [&](const ReferenceOf<A>& r) { return bind1(r.f64); }),
      .gradient =
          t.gradient.template map<function<Values(const Attributes&, Builder&, const Tape&)>>(
              bind1),
      .cost = t.cost.template map<function<Cost(const Attributes&, const TypesIn&, const Types&)>>(
          bind1),
      .axes =
          t.axes.template map<function<AxisMap(const Attributes&, const TypesIn&, const Types&)>>(
              bind1),
      .quantize =
          t.quantize.template map<function<QuantForm(const Attributes&, const TypesIn&)>>(bind1),
      .pointwise =
          t.pointwise
              .template map<function<std::optional<ScalarOp>(const Attributes&, const TypesIn&)>>(
                  bind1),
      .expand = t.expand.template map<function<Values(const Attributes&, Builder&, const Values&)>>(
          bind1),
      .emit = t.emit.template map<function<void(const Attributes&, CWriter&)>>(bind1),
      .samples = {},
      .kinks = t.kinks,
      .deterministic = t.deterministic,
      .with_mode = {},
      .random_key = t.random_key,
      .resized = {},
      .known = {},
      .gaps = t.gaps,
      .control = {},
  };
  for (const auto& s : t.samples)
    room.samples.push_back({Attributes::of<A>(s.attrs), s.inputs, s.results});
  for (const auto& f : t.attributes) room.attribute_names.push_back(f.name);
  if (t.with_mode)
    room.with_mode = [f = t.with_mode](const Attributes& a, bool training) {
      return Attributes::of<A>(f(a.as<A>(), training));
    };
  if (t.resized)
    room.resized = [f = t.resized](const Attributes& a, const TypesIn& before, const TypesIn& after,
                                   const Types& wanted) {
      return f(a.as<A>(), before, after, wanted);
    };
  if (t.known)
    room.known = [f = t.known](const Attributes& a, const TypesIn& in) { return f(a.as<A>(), in); };
  if (t.control) {
    room.control = ControlForm{
        bind1(t.control->bodies), bind1(t.control->captured), bind1(t.control->run), {}};
    if (t.control->inlined) room.control->inlined = bind1(t.control->inlined);
  }
  room.parse = [fields = t.attributes, names = room.attribute_names](const AttributeMap& map,
                                                                     const std::string& where) {
    A a{};
    for (const auto& [name, value] : map) {
      bool found = false;
      for (const auto& f : fields) {
        if (f.name != name) continue;
        f.set(a, value, where);
        found = true;
      }
      if (!found) detail::unknown_attribute(name, names, where);
    }
    for (const auto& f : fields)
      if (f.required && !map.contains(f.name)) detail::missing_attribute(f.name, where);
    return Attributes::of<A>(std::move(a));
  };
  room.print = [fields = t.attributes](const Attributes& erased, bool all) {
    AttributeMap map;
    const A& a = erased.as<A>();
    const A defaults{};
    for (const auto& f : fields) {
      auto v = f.get(a);
      if (!v) continue;
      const auto d = f.get(defaults);
      if (!all && !f.required && d && detail::equal_attributes(*d, *v)) continue;
      map.emplace(f.name, std::move(*v));
    }
    return map;
  };
  return room;
}

}  // namespace espalier
