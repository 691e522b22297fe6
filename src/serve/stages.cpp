#include "serve/stages.h"

#include <cstdio>

namespace espalier::serve {
namespace {

std::string entry(std::string_view name, Duration spent) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*s;dur=%.3f", int(name.size()), name.data(),
                1e3 * seconds(spent));
  return text;
}

}  // namespace

std::string server_timing(const StageTimes& times, Duration total) {
  std::string text;
  for (size_t i = 0; i < kStages; ++i)
    if (const auto& spent = times.of(i)) text += entry(kStageNames[i], *spent) + ", ";
  return text + entry("total", total);
}

}  // namespace espalier::serve
