// Changes to cases: of the graph, every node of which stays valid, and of the order of passes
// (Liu et al., "Coverage-Guided Tensor Compiler Fuzzing with Joint IR-Pass Mutation", OOPSLA 2022).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "fuzz/generate.h"

namespace espalier::fuzz {

/// The case with one change to its graph: an attribute, an extent, the width of floats, a node put
/// in, taken out, put in another's place, an operand that reads something else, an input that
/// becomes a parameter, or the graph of `other` put behind. False where no try gave a fit case.
bool mutate_graph(Case& c, const Case& other, Generator& generator, const GrowOptions& options,
                  Dice& dice, Growth& growth);

/// One pass added, left out, moved or done twice. Never empty.
void mutate_passes(std::vector<std::string>& passes, Dice& dice);

// The changes that mutation tries, for reduction and tests. Each is false where it found nothing to
// do; what they leave may have to be settled and may not be fit.

/// Reads `to` in place of every result of the node, of the same type; kNoValue makes an input of
/// it.
void replace_result(Case& c, ValueId result, ValueId to);
/// Every input axis of extent `from` gets `to`.
bool set_extent(Case& c, int64_t from, int64_t to);
/// The input becomes the constant that it is fed.
bool freeze_input(Case& c, ValueId input, Role role);

}  // namespace espalier::fuzz
