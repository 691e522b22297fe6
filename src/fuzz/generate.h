// Random valid graphs, grown node by node from the forms of operators.
//
// Forwards, an operator is put on values that are there: these fix some of its numbers, the rules
// of its form give the others, and inference and the reference decide. Backwards, an operator is
// put before an input, whose type it must give. What no value serves becomes an input or a
// parameter. The same stream grows the same graph.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fuzz/case.h"
#include "fuzz/dice.h"
#include "fuzz/library.h"

namespace espalier::fuzz {

struct GrowOptions {
  int nodes = 8;
  int insertions = 24;  ///< tried at most
  /// Numbers that values do not fix come from rules; else they are the sample's, some of them
  /// changed at random, and inference refuses what does not fit.
  bool rules = true;
  double backwards = 0.2;   ///< of the insertions
  double joined = 0.8;      ///< operands that take a value of the graph where one fits
  double parameters = 0.3;  ///< float operands that become constants where none is taken
  double retyped = 0.25;    ///< graphs whose floats get another width
  double symbolic = 0.2;    ///< graphs that get an open extent
};

/// What growing came to.
struct Growth {
  int64_t attempts = 0, refused = 0;  ///< operators tried; given up by rules, inference, reference
  int64_t nodes = 0;
  int64_t joined = 0;               ///< operands that took values of the graph
  std::vector<std::string> broken;  ///< failures that were no refusals
};

class Generator {
 public:
  explicit Generator(Library& library) : library_(library) {}

  /// A graph with at least one node and one input, its passes the default ones.
  Case grow(const GrowOptions& options, const Rng& rng, Growth& growth);
  /// One more operator, forwards or backwards; false where none was found that fits.
  bool insert(Case& c, const GrowOptions& options, Dice& dice, Growth& growth);

  Library& library() { return library_; }
  const Form& any_form(Dice& dice);

 private:
  struct Place;
  bool forwards(Case& c, const GrowOptions& options, Dice& dice, Growth& growth);
  bool backwards(Case& c, const GrowOptions& options, Dice& dice, Growth& growth);

  Library& library_;
};

/// Appends the operator to the graph on `bound`; operands that are kNoValue there become inputs or
/// constants. Returns its results. UserError where inference refuses.
Values append(Case& c, const Form& form, const Assignment& numbers, const Values& bound,
              double parameters, Dice& dice);

/// Whether the case is one to test: it verifies, it has nodes and inputs, and its values are
/// finite. A failure that is no refusal is appended to `broken`.
bool is_fit(const Case& c, std::vector<std::string>& broken);

/// All floats of another width, where every operator takes that.
bool retype(Case& c, DType dtype);
/// One extent of inputs open, where inference can do without it.
bool open_extent(Case& c, Dice& dice);

}  // namespace espalier::fuzz
