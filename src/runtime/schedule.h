// The order of instructions, and where the next state is written.
#pragma once

#include <vector>

#include "runtime/program_impl.h"

namespace espalier {

/// After a run, state buffer `state` shall hold what was computed into `source` (an arena buffer
/// of its own, or `state` itself where nothing changes).
struct StateWrite {
  int state = kNoBuffer, source = kNoBuffer;
};

/// Orders the instructions so that each state buffer is overwritten by its writer in place, after
/// everybody who reads the old value; where that cannot be, a copy is appended. What serves next
/// states alone runs as soon as its operands are there; the order is otherwise the given one.
void schedule(ProgramImpl& program, const std::vector<StateWrite>& writes);

}  // namespace espalier
