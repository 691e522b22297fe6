#include <algorithm>
#include <array>
#include <utility>

#include "ir/room.h"

namespace espalier {
template Room make_room<NoAttributes>(RoomOf<NoAttributes> typed);
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

void unknown_attribute(const std::string& name, const std::vector<std::string>& known,
                       const std::string& where) {
  std::string list;
  for (const auto& k : known) list += (list.empty() ? "" : ", ") + k;
  throw bad_input(where, "attribute '" + name + "' is not known",
                  known.empty() ? "this operator takes no attributes" : "known: " + list);
}

void missing_attribute(const std::string& name, const std::string& where) {
  throw bad_input(where, "attribute '" + name + "' is missing");
}

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

}  // namespace espalier::detail
