#include "train/storage.h"

#include "ir/room.h"

namespace espalier {
namespace {

AttributeMap attributes_of(const Float8Groups& g) {
  return {
      {"format", std::string(g.format->name)}, {"group", g.length}, {"expand", int64_t{g.expand}}};
}

}  // namespace

std::string Storage::text() const { return float8 ? text_of(*float8) : std::string(name_of(type)); }

std::string text_of(const Float8Groups& g) {
  return std::string(g.format->name) + ",group=" + std::to_string(g.length) +
         (g.expand ? ",expand" : "");
}

std::vector<Tensor> stored_zeros(const Shape& shape, const Storage& storage) {
  if (!storage.float8) return {Tensor(storage.type, shape)};
  const Float8Groups& g = *storage.float8;
  return {Tensor(DType::u8, shape), Tensor(DType::bf16, {g.count(numel(shape)), g.beside()})};
}

Values stored(Builder& b, ValueId value, const Storage& storage, const std::string& name) {
  if (!storage.float8) return {b.cast(value, storage.type)};
  const Graph& g = b.graph();
  return b.op("espalier.QuantizeFloat8", {value}, attributes_of(*storage.float8), "",
              {g.fresh_name(name), g.fresh_name(name + ":scales")});
}

ValueId read_back(Builder& b, const Values& kept, const Storage& storage, DType to,
                  const std::string& name) {
  if (!storage.float8) return b.cast(kept.at(0), to);
  AttributeMap attributes = attributes_of(*storage.float8);
  attributes["to"] = detail::onnx_number(to);
  return b.op("espalier.DequantizeFloat8", kept, attributes, "", {b.graph().fresh_name(name)})[0];
}

}  // namespace espalier
