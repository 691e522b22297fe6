#include "recipe/incubation_part.h"

#include "recipe/at_line.h"

namespace espalier {

IncubationPart read_incubation(const Yaml& part) {
  constexpr int64_t kMany = 1'000'000'000;
  Fields fields(part, "incubation");
  IncubationPart p;
  p.place = part;
  Incubation& i = p.incubation;
  i.around = Around(fields.choice("around", size_t(i.around), around_names()));
  i.module_epochs = fields.require_integer("module_epochs", 1, kMany);
  if (i.around == Around::kMeta)
    i.meta_epochs = fields.require_integer("meta_epochs", 1, kMany);
  else if (const Yaml* epochs = fields.find("meta_epochs"))
    epochs->fail("there is no meta model around the modules", "around: meta");
  i.modules = fields.integer("modules", i.modules, 2, 1024);
  i.rate = fields.number("rate", i.rate, 1e-6, 1e6);
  fields.done();
  at_line(part, [&] { i.check("incubation"); });
  return p;
}

}  // namespace espalier
