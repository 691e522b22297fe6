#include "recipe/v_cycle_part.h"

#include "recipe/at_line.h"

namespace espalier {

VCyclePart read_v_cycle(const Yaml& part) {
  constexpr int64_t kMany = 1'000'000'000;
  Fields fields(part, "v_cycle");
  VCyclePart v;
  v.place = part;
  VCycle& c = v.cycle;
  fields.require("first");
  fields.require("small");
  c.first = fields.integer("first", c.first, 1, kMany);
  c.small = fields.integer("small", c.small, 1, kMany);
  c.levels = fields.integer("levels", c.levels, 2, 16);
  c.merge.width = fields.integer("width", c.merge.width, 1, 1024);
  c.merge.depth = fields.integer("depth", c.merge.depth, 1, 1024);
  if (const Yaml* whole = fields.find("whole"))
    for (const Yaml& name : whole->items()) c.merge.whole.push_back(name.text());
  c.alpha = fields.number("alpha", c.alpha, 0, 1);
  c.rate = fields.number("rate", c.rate, 1e-6, 1e6);
  c.carry = fields.choice("moments", 0, {"carried", "fresh"}) == 0;
  fields.done();
  at_line(part, [&] { c.check("v_cycle"); });
  return v;
}

}  // namespace espalier
