#include "recipe/storage_part.h"

namespace espalier {
namespace {

/// Format and length of groups; what else a part has is its reader's.
Float8Groups read_groups(Fields& fields, Float8Groups groups) {
  static const std::vector<const Float8Format*> formats = {&kE4M3, &kE5M2};
  constexpr int64_t kLongest = 1 << 20;
  groups.format = formats[fields.choice("format", 0, {"e4m3", "e5m2"})];
  groups.length = fields.integer("group", groups.length, 2, kLongest);
  return groups;
}

}  // namespace

Storage read_states(const Yaml& part) {
  Float8Groups groups = {&kE4M3, 128, true};
  if (part.is_map()) {
    Fields fields(part, "states");
    groups = read_groups(fields, groups);
    groups.expand = fields.boolean("expand", groups.expand);
    fields.done();
    return {DType::f32, groups};
  }
  if (part.text() == "fp8") return {DType::f32, groups};
  if (part.text() == "bf16") return {DType::bf16, {}};
  if (part.text() != "f32")
    part.fail("states cannot be '" + part.text() + "'",
              "f32, bf16, fp8, or {format: e4m3, group: 128, expand: true}");
  return {};
}

Float8Groups read_saved_activations(const Yaml& part) {
  const Float8Groups groups = {&kE4M3, 16, false};
  if (part.is_map()) {
    Fields fields(part, "saved_activations");
    const Float8Groups read = read_groups(fields, groups);
    fields.done();
    return read;
  }
  if (part.text() != "fp8")
    part.fail("saved_activations cannot be '" + part.text() + "'",
              "fp8, or {format: e4m3, group: 16}; left out, they stay as they are computed");
  return groups;
}

}  // namespace espalier
