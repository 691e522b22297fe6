#include "recipe/generator_part.h"

#include "recipe/at_line.h"

namespace espalier {

HypernetworkSpec read_hypernetwork(Fields& fields) {
  HypernetworkSpec spec;
  spec.numbers = 1;
  const std::vector<std::string> kinds = generator_names();
  spec.generator.kind = kinds[fields.choice("kind", 0, kinds)];
  spec.encoded = fields.choice("encoding", 0, {"plain", "cosine_sine"}) == 1;
  spec.residual = fields.boolean("residual", false);
  spec.scale = fields.number("scale", 1, 1e-6, 1e6);
  if (const Yaml* targets = fields.find("targets")) {
    if (targets->is_scalar())
      spec.targets = {targets->text()};
    else
      for (const Yaml& t : targets->items()) spec.targets.push_back(t.text());
  }
  for (const Setting& s : find_generator(spec.generator.kind).settings)
    if (fields.find(s.name))
      spec.generator.settings[s.name] =
          double(fields.integer(s.name, int64_t(s.fallback), int64_t(s.least), int64_t(s.most)));
  at_line(fields.map(), [&] { spec.check("generate"); });
  return spec;
}

GeneratePart read_generate(const Yaml& part) {
  Fields fields(part, "generate");
  fields.require("kind");
  GeneratePart p;
  p.spec = read_hypernetwork(fields);
  const Yaml& turn = fields.require("turn");
  if (turn.items().size() != 2) turn.fail("turn takes two angles, at condition 0 and at 1");
  p.from = turn.items()[0].number();
  p.to = turn.items()[1].number();
  fields.done();
  return p;
}

}  // namespace espalier
