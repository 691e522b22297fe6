#include "recipe/schedule_part.h"

#include "recipe/at_line.h"

namespace espalier {

namespace {

/// The value of a map that an argument set, or the map itself: what to blame when together they
/// make no sense.
const Yaml& changed_part(const Yaml& map) {
  for (const auto& [key, value] : map.entries())
    if (value.is_argument()) return value;
  return map;
}

}  // namespace

Schedule read_schedule(const Yaml& part, Schedule s) {
  using Kind = Schedule::Kind;
  Fields fields(part, "schedule");
  s.kind = Kind(fields.choice("kind", size_t(s.kind), {"constant", "cosine", "step", "one_cycle"}));
  s.peak = fields.number("peak", s.peak, 0);
  s.warmup = fields.number("warmup", s.warmup, 0);
  if (s.kind == Kind::kCosine) s.floor = fields.number("floor", s.floor, 0, 1);
  if (s.kind == Kind::kStep) {
    s.factor = fields.number("factor", s.factor, 0, 1);
    if (const Yaml* milestones = fields.find("milestones")) {
      s.milestones.clear();
      for (const Yaml& m : milestones->items()) s.milestones.push_back(m.number());
    }
  }
  fields.done();
  at_line(changed_part(part), [&] { s.check("schedule"); });
  return s;
}

}  // namespace espalier
