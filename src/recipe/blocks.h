// The typed blocks of blueprints.
#pragma once

#include <map>
#include <set>
#include <string>

#include "ir/builder.h"
#include "recipe/yaml.h"

namespace espalier {

/// Variables in force at one place of a definition.
using Variables = std::map<std::string, std::string>;

/// Builds the blocks of one definition.
class BlockBuilder {
 public:
  BlockBuilder(Graph& graph, uint64_t seed, std::map<std::string, double>* deviations = nullptr)
      : builder_(graph), seed_(seed), deviations_(deviations) {}

  /// Where a block stands: the prefix of its names and the variables in force.
  struct Scope {
    std::string prefix;
    Variables variables;
    Scope inside(const std::string& name) const;
  };

  /// Applies the blocks of a list in order.
  ValueId body(const Yaml& blocks, ValueId x, const Scope& scope);

  /// `value` with "$name" replaced in all scalars, except below keys whose blocks bind variables of
  /// their own.
  static Yaml substituted(const Yaml& value, const Variables& variables);

  // ---- for the blocks themselves ----------------------------------------------------------------
  Builder& builder() { return builder_; }
  /// "layer1.0.conv1" for a block: its own name, or its type and a number. UserError when taken.
  std::string claim_name(Fields& fields, const Scope& scope);
  ValueId he_weight(const std::string& name, const Shape& shape, double fan_out);
  ValueId normal_parameter(const std::string& name, const Shape& shape, double deviation);
  ValueId uniform_parameter(const std::string& name, const Shape& shape, double bound);
  ValueId constant_parameter(const std::string& name, const Shape& shape, float value);
  ValueId buffer(const std::string& name, const Shape& shape, float value);

 private:
  ValueId block(const Yaml& entry, ValueId x, const Scope& scope);
  ValueId residual(Fields& fields, ValueId x, const Scope& scope);
  ValueId sequence(Fields& fields, ValueId x, const Scope& scope);
  ValueId repeat(Fields& fields, ValueId x, const Scope& scope);
  ValueId concat(Fields& fields, ValueId x, const Scope& scope);
  ValueId reversible(Fields& fields, ValueId x, const Scope& scope);

  ValueId drawn(const std::string& name, Tensor first, double deviation);

  Builder builder_;
  uint64_t seed_;
  std::map<std::string, double>* deviations_;
  std::set<std::string> names_;
};

/// A block without blocks inside: reads its fields, appends its nodes, returns its result.
using LeafBlock = ValueId (*)(BlockBuilder&, Fields&, ValueId x, const std::string& name);
struct LeafType {
  const char* type;
  LeafBlock build;
};
/// The leaf of that type, or null.
LeafBlock find_leaf_block(const std::string& type);
/// Types of all leaf blocks.
std::vector<std::string> leaf_block_types();

}  // namespace espalier
