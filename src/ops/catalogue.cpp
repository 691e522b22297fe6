#include "ops/catalogue.h"

#include "ir/registry.h"

namespace espalier::ops {

void register_rooms() {
#define ESP_ROOM(name) register_room(name());
#include "ops/catalogue.inc"
#undef ESP_ROOM
}

}  // namespace espalier::ops
