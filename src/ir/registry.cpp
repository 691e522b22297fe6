#include "ir/registry.h"

#include <deque>
#include <map>
#include <vector>

#include "base/error.h"

namespace espalier {
namespace {
struct Registry {
  std::map<std::string, const Room*, std::less<>> by_name;
  std::vector<const Room*> all;
};
Registry& registry() {
  static Registry r;
  return r;
}
}  // namespace

void register_room(const Room& room) {
  auto [it, fresh] = registry().by_name.emplace(room.full_name(), &room);
  ESP_CHECK(it->second == &room, "two rooms are named " + room.full_name());
  if (fresh) registry().all.push_back(&room);
}

const Room* find_room(std::string_view name, std::string_view domain) {
  const std::string full = domain.empty() || domain == "ai.onnx"
                               ? std::string(name)
                               : std::string(domain) + "." + std::string(name);
  const auto it = registry().by_name.find(full);
  return it == registry().by_name.end() ? nullptr : it->second;
}

const Room& room_named(std::string_view full_name) {
  const auto it = registry().by_name.find(full_name);
  ESP_CHECK(it != registry().by_name.end(),
            "no room named " + std::string(full_name) + "; was register_rooms() called?");
  return *it->second;
}

std::span<const Room* const> all_rooms() { return registry().all; }

}  // namespace espalier
