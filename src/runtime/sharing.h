// Whether work is large enough for several threads.
#pragma once

#include "ir/room.h"

namespace espalier {

/// Below it one thread is done about as soon as several that have to wake and wait for each other.
/// Operands that are integers of 8 bits count as faster multiplications.
bool worth_sharing(const Cost& cost, const TypesIn& in);

}  // namespace espalier
