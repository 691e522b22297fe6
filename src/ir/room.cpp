#include <algorithm>
#include <array>
#include <utility>

#include "ir/room.h"

namespace espalier {
template Room make_room<NoAttributes>(RoomOf<NoAttributes> typed);

Room::~Room() = default;
}  // namespace espalier

namespace espalier::detail {
namespace {
// TensorProto.DataType of the ONNX specification.
constexpr std::array<std::pair<DType, int64_t>, 14> kOnnxNumbers = {{
    {DType::f32, 1},
    {DType::u8, 2},
    {DType::i8, 3},
    {DType::u16, 4},
    {DType::i16, 5},
    {DType::i32, 6},
    {DType::i64, 7},
    {DType::string, 8},
    {DType::boolean, 9},
    {DType::f16, 10},
    {DType::f64, 11},
    {DType::u32, 12},
    {DType::u64, 13},
    {DType::bf16, 16},
}};

UserError unknown_attribute(const std::string& name, const std::vector<std::string>& known,
                            const std::string& where) {
  std::string list;
  for (const auto& k : known) list += (list.empty() ? "" : ", ") + k;
  return bad_input(where, "attribute '" + name + "' is not known",
                   known.empty() ? "this operator takes no attributes" : "known: " + list);
}
}  // namespace

int64_t onnx_number(DType type) {
  for (auto [t, n] : kOnnxNumbers)
    if (t == type) return n;
  ESP_CHECK(false, "every element type has an ONNX number");
  return 0;
}

DType dtype_from_onnx_number(int64_t number, const std::string& where) {
  for (auto [t, n] : kOnnxNumbers)
    if (n == number) return t;
  throw unsupported(where, "element type number " + std::to_string(number) + " is not supported");
}

void wrong_attribute_kind(const std::string& name, const std::string& where) {
  throw bad_input(where, "attribute '" + name + "' has the wrong kind of value");
}

Fields fields_of(const std::type_info& of, std::vector<Field> fields) {
  for (const Field& f : fields)
    ESP_CHECK(*f.of == of, "an attribute is a member of another operator's struct");
  return std::make_shared<const std::vector<Field>>(std::move(fields));
}

std::vector<std::string> names_of(const std::vector<Field>& fields) {
  std::vector<std::string> names;
  for (const Field& f : fields) names.push_back(f.name);
  return names;
}

void read_attributes(const std::vector<Field>& fields, const AttributeMap& map,
                     const std::string& where, void* attributes) {
  for (const auto& [name, value] : map) {
    bool found = false;
    for (const Field& f : fields) {
      if (f.name != name) continue;
      f.set(attributes, value, f, where);
      found = true;
    }
    if (!found) throw unknown_attribute(name, names_of(fields), where);
  }
  for (const Field& f : fields)
    if (f.required && !map.contains(f.name))
      throw bad_input(where, "attribute '" + f.name + "' is missing");
}

namespace {
bool equal_attributes(const AttributeValue& a, const AttributeValue& b) {
  if (a.index() != b.index()) return false;
  if (const auto* t = std::get_if<Tensor>(&a)) return t->identical(std::get<Tensor>(b));
  return std::visit(
      [&](const auto& x) {
        using T = std::decay_t<decltype(x)>;
        if constexpr (std::is_same_v<T, Tensor>)
          return false;
        else
          return x == std::get<T>(b);
      },
      a);
}
}  // namespace

AttributeMap write_attributes(const std::vector<Field>& fields, const void* attributes,
                              const void* defaults) {
  AttributeMap map;
  for (const Field& f : fields) {
    auto value = f.get(attributes);
    if (!value) continue;
    const auto standard = defaults && !f.required ? f.get(defaults) : std::nullopt;
    if (!standard || !equal_attributes(*standard, *value)) map.emplace(f.name, std::move(*value));
  }
  return map;
}

void add_sample(Room& room, Attributes attributes, std::vector<OperandSpec> inputs, int results) {
  room.samples.push_back({std::move(attributes), std::move(inputs), results});
}

}  // namespace espalier::detail
