// The rooms the engine knows, by domain and name. Filled once by ops::register_rooms().
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "ir/room.h"

namespace espalier {

/// Adds a room that must live as long as the process. Registering the same room twice is a no-op.
void register_room(const Room& room);
/// The room, or null.
const Room* find_room(std::string_view name, std::string_view domain = "");
/// The room of an own operator or a name of this code base: InternalError when missing. The name
/// may carry its domain: "espalier.ConvGradInput".
const Room& room_named(std::string_view full_name);
/// All rooms, in order of registration.
std::span<const Room* const> all_rooms();

}  // namespace espalier
