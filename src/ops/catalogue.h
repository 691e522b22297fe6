// The catalogue of operators.
#pragma once

#include "ir/room.h"

namespace espalier::ops {

/// Fills the registry with every room of catalogue.inc. Call once at start; again is a no-op.
void register_rooms();

#define ESP_ROOM(name) const Room& name();
#include "ops/catalogue.inc"
#undef ESP_ROOM

}  // namespace espalier::ops
