// Generators: networks whose result is the weights of another one (Ha et al. 2016,
// arXiv:1609.09106), as exchangeable units that write themselves into a graph.
//
// To add one: a file in train/generators/ with a function `const GeneratorUnit& NAME_generator()`,
// and ESP_GENERATOR(NAME) in train/generators.inc.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "ir/builder.h"
#include "train/setting.h"

namespace espalier {

/// A generator as it is chosen.
struct GeneratorSpec {
  std::string kind = "mlp";
  /// Settings that differ from the unit's own values.
  std::map<std::string, double> settings = {};

  std::map<std::string, double> all_settings() const;
  /// "mlp,layers=2,…".
  std::string text() const;
  /// UserError for an unknown kind or setting, or a value outside its bounds.
  void check(const std::string& where) const;
};

/// A generator while it is written into a graph. The graph may hold its parameters already, as
/// constants or as inputs of a training step: then those are read, so that it can be written
/// several times, for conditions of different numbers.
class Generating {
 public:
  /// `input` is f32 [rows, features], one condition a row; `total` how many numbers are wanted of
  /// each.
  Generating(Graph& graph, const GeneratorSpec& spec, ValueId input, int64_t total, uint64_t seed)
      : graph_(graph), settings_(spec.all_settings()), input_(input), total_(total), seed_(seed) {}

  Builder builder() { return Builder(graph_); }
  ValueId input() const { return input_; }
  int64_t rows() const { return graph_.value(input_).tensor().dims[0].value(); }
  int64_t features() const { return graph_.value(input_).tensor().dims[1].value(); }
  int64_t total() const { return total_; }
  int64_t whole(const std::string& name) const { return int64_t(settings_.at(name)); }
  /// Of the settings: pieces of `chunk` numbers that hold all.
  int64_t chunks() const { return (total_ + whole("chunk") - 1) / whole("chunk"); }

  /// The parameter "generator.NAME"; made, where it is not there, normal with that deviation or
  /// zero.
  ValueId parameter(const std::string& name, const Shape& shape, double deviation);
  /// x [..., in] times "NAME.weight" [in, out] plus "NAME.bias". The weight's first deviation is
  /// sqrt(gain / in).
  ValueId linear(ValueId x, const std::string& name, int64_t out, double gain);
  /// [rows, chunks, chunk] as [rows, total], what is too much cut off.
  ValueId joined(ValueId pieces);

 private:
  Graph& graph_;
  std::map<std::string, double> settings_;
  ValueId input_;
  int64_t total_;
  uint64_t seed_;
};

struct GeneratorUnit {
  const char* name;
  const char* paper;
  const char* what;
  std::vector<Setting> settings;
  /// Appends the generator; f32 [rows, total]. Scale and place of the numbers are the caller's.
  ValueId (*write)(Generating&);
};

/// Nodes before `first_new` that read `from` read `to`; the order of nodes is the caller's to
/// restore.
void replace_reads(Graph& graph, ValueId from, ValueId to, NodeId first_new);

std::span<const GeneratorUnit* const> generators();
/// UserError (usage) with the names there are.
const GeneratorUnit& find_generator(const std::string& name);
std::vector<std::string> generator_names();

}  // namespace espalier
