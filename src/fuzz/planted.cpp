#include "fuzz/planted.h"

#include <algorithm>
#include <functional>

#include "base/error.h"
#include "fuzz/spoil.h"
#include "passes/passes.h"

namespace espalier::fuzz {

std::span<const PlantedBug> planted_bugs() {
  static constexpr PlantedBug kBugs[] = {
      {"residual_dropped", "a contraction's epilogue forgets the residual it took along",
       "fuse_epilogue", spoil::residual},
      {"activation_dropped", "a contraction's epilogue forgets its activation", "fuse_epilogue",
       spoil::activation},
      {"difference_swapped", "a chain of pointwise operators subtracts the wrong way round",
       "fuse_pointwise", spoil::difference},
      {"long_chain_crashes", "a chain of four pointwise operators breaks an invariant",
       "fuse_pointwise", spoil::long_chain},
      {"transpose_lost", "a transposition that leaves the shape as it is counts as none",
       "fold_identity", spoil::transposition},
      {"kept_axes_lost", "reductions forget that they keep their axes", "fold_identity",
       spoil::kept_axes},
      {"last_constant_lost", "folding leaves the last element of its result at zero",
       "fold_constants", spoil::last_element},
      {"softmax_axis", "what runs along an axis always runs along the last", "", spoil::axis},
      {"concat_order", "two joined operands of one type come in the wrong order", "",
       spoil::joined_order},
      {"pads_swapped", "padding before and after an axis is exchanged", "", spoil::pads},
      {"narrow_broadcast", "sums in 16 bits forget the operand that is broadcast", "",
       spoil::narrow_sum},
      {"choice_swapped", "a choice between two takes the other", "", spoil::choice},
      {"bounds_ignored", "values are not clipped", "", spoil::bounds},
      {"alpha_default", "a slope or factor is always the default", "", spoil::alpha},
      {"padding_counted", "averages count the padding the other way", "", spoil::counted_padding},
      {"refolded_region", "folding after fusing loses the last step of a region", "fold_constants",
       spoil::refolded, true},
      {"epilogue_after_chain", "fusing epilogues after chains loses a sum in a chain",
       "fuse_epilogue", spoil::sum_in_chain, true},
      {"moved_parameter", "a parameter stored in the layout it is read in loses its last element",
       "fold_parameters", spoil::last_element, true},
      {"identity_after_chain", "removing identities after fusing swaps a chain's operands",
       "fold_identity", spoil::difference, true},
      {"fused_again", "fusing chains where none is left loses the last step of those there are",
       "fuse_pointwise", spoil::fused_again, true},
  };
  return kBugs;
}

const PlantedBug& planted_bug(std::string_view name) {
  std::string known;
  for (const PlantedBug& bug : planted_bugs()) {
    if (bug.name == name) return bug;
    known += (known.empty() ? "" : ", ") + std::string(bug.name);
  }
  throw usage_error("planted bug '" + std::string(name) + "'", "is not known", "known: " + known);
}

Subject with_bug(const PlantedBug& bug, int* struck) {
  const auto note = [struck](int times) {
    if (struck) *struck += times;
  };
  Subject s;
  if (bug.pass.empty()) {
    s.bind = [&bug, note](Graph& g) { note(bug.spoil(g, 1)); };
    return s;
  }
  s.pass = [&bug, note](Graph& g, const std::string& pass) {
    const int changes = pass_named(pass).run(g);
    if (pass != bug.pass) return changes;
    const int times = bug.spoil(g, changes);
    note(times);
    return changes + times;
  };
  return s;
}

bool shows(const PlantedBug& bug, const Case& c) {
  int struck = 0;
  const Subject subject = with_bug(bug, &struck);
  // Most cases give most bugs no occasion: the passes alone tell, for less than a comparison.
  try {
    Graph g = c.graph.compacted();
    for (const std::string& pass : c.passes) run_pass(subject, g, pass);
    if (subject.bind) subject.bind(g);
  } catch (const std::exception&) {
    struck = 1;
  }
  if (struck == 0) return false;
  const Outcome o = check(c, subject, {.text = false, .kernels = bug.pass.empty()});
  return o.finding.has_value();
}

}  // namespace espalier::fuzz
