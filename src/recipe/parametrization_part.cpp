#include "recipe/parametrization_part.h"

#include "recipe/at_line.h"
#include "recipe/network_file.h"
#include "recipe/recipe.h"

namespace espalier {
namespace {

constexpr double kLargest = 4;  ///< of an exponent

void read_exponents(const Yaml* part, const char* role, WidthExponents& e) {
  if (!part) return;
  Fields fields(*part, role);
  e.multiplier = fields.number("multiplier", e.multiplier, -kLargest, kLargest);
  e.deviation = fields.number("deviation", e.deviation, -kLargest, kLargest);
  e.rate = fields.number("rate", e.rate, -kLargest, kLargest);
  fields.done();
}

}  // namespace

ParametrizationPart read_parametrization(const Yaml& part, const Optimizer& optimizer) {
  Fields fields(part, "parametrization");
  ParametrizationPart p;
  p.place = part;
  const std::vector<std::string> names = parametrization_names();
  fields.require("kind");
  const std::string& kind = names[fields.choice("kind", 0, names)];
  p.exponents = at_line(part, [&] { return parametrization(kind, optimizer.unit()); });
  for (const auto& [name, value] : fields.require("base").entries())
    p.base[name.text()] = value.text();
  if (p.base.empty())
    part.find("base")->fail("names no variable of the definition",
                            "base: {width: 32} says at which width all kinds are the same");
  read_exponents(fields.find("input"), "input", p.exponents.input);
  read_exponents(fields.find("hidden"), "hidden", p.exponents.hidden);
  read_exponents(fields.find("output"), "output", p.exponents.output);
  p.exponents.attention_by_size =
      fields.choice("attention", p.exponents.attention_by_size, {"root", "size"}) == 1;
  fields.done();
  return p;
}

ParametrizedNetwork parametrized_network(const ModelPart& model, const ParametrizationPart& part,
                                         const Optimizer& optimizer, uint64_t seed,
                                         const Dataset* data) {
  if (!is_definition_file(model.path))
    part.place.fail(
        "needs a definition, whose variables say how wide the network is; the model is " +
        model.text);
  ModelPart narrow = model;
  narrow.weights.clear();
  for (const auto& [name, value] : part.base) narrow.variables[name] = value;
  std::map<std::string, double> own, based;
  ParametrizedNetwork p;
  p.graph = model.build(seed, data, &own);
  at_line(part.place, [&] {
    const Graph base = narrow.build(seed, data, &based);
    p.scales = width_scales(p.graph, base, part.exponents, optimizer.unit());
    if (model.is_untrained()) scale_first_values(p.graph, p.scales, own, based);
    scale_products(p.graph, base, p.scales, part.exponents);
  });
  for (const auto& [name, s] : p.scales)
    if (s.rate != 1) p.rate_factors[name] = s.rate;
  return p;
}

}  // namespace espalier
