#include "train/generator.h"

#include <array>
#include <cmath>

#include "base/error.h"
#include "base/rng.h"
#include "base/suggest.h"

namespace espalier {

#define ESP_GENERATOR(name) const GeneratorUnit& name##_generator();
#include "train/generators.inc"
#undef ESP_GENERATOR

std::span<const GeneratorUnit* const> generators() {
  static const std::array all = {
#define ESP_GENERATOR(name) &name##_generator(),
#include "train/generators.inc"
#undef ESP_GENERATOR
  };
  return all;
}

std::vector<std::string> generator_names() {
  std::vector<std::string> names;
  for (const GeneratorUnit* unit : generators()) names.emplace_back(unit->name);
  return names;
}

const GeneratorUnit& find_generator(const std::string& name) {
  for (const GeneratorUnit* unit : generators())
    if (name == unit->name) return *unit;
  throw usage_error("generator '" + name + "'", "is not known",
                    suggestion(name, generator_names()));
}

std::map<std::string, double> GeneratorSpec::all_settings() const {
  return espalier::all_settings(find_generator(kind).settings, settings);
}

std::string GeneratorSpec::text() const {
  return settings_text(kind, find_generator(kind).settings, settings);
}

void GeneratorSpec::check(const std::string& where) const {
  check_settings(where, "generator '" + kind + "'", find_generator(kind).settings, settings);
}

void replace_reads(Graph& g, ValueId from, ValueId to, NodeId first_new) {
  for (NodeId id : std::vector<NodeId>(g.order()))
    if (id < first_new)
      for (ValueId& v : g.mutable_node(id).inputs)
        if (v == from) v = to;
}

ValueId Generating::parameter(const std::string& name, const Shape& shape, double deviation) {
  const std::string full = "generator." + name;
  if (const ValueId there = graph_.find(full); there != kNoValue) return there;
  Tensor t(DType::f32, shape);
  const Rng rng(seed_, stream_of(full));
  if (deviation > 0)
    for (int64_t i = 0; i < t.size(); ++i)
      t.mutable_data<float>()[i] = float(deviation * rng.normal(uint64_t(i)));
  return graph_.add_constant(full, std::move(t), Role::kParameter);
}

ValueId Generating::linear(ValueId x, const std::string& name, int64_t out, double gain) {
  Builder b = builder();
  const int64_t in = b.type(x).dims.back().value();
  const ValueId weight = parameter(name + ".weight", {in, out}, std::sqrt(gain / double(in)));
  return b.add(b.matmul(x, weight), parameter(name + ".bias", {out}, 0));
}

ValueId Generating::joined(ValueId pieces) {
  Builder b = builder();
  const int64_t all = chunks() * whole("chunk");
  const ValueId flat = b.reshape(pieces, {rows(), all});
  if (all == total_) return flat;
  return b.op("Split", {flat, b.ints({total_, all - total_})}, {{"axis", int64_t{1}}}).at(0);
}

}  // namespace espalier
