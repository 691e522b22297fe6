// Silence for a while.
#pragma once

#include "base/log.h"

namespace espalier {

/// No news and no progress lines of what runs while it lives.
class Quietly {
 public:
  Quietly() : before_(is_quiet()) { set_quiet(true); }
  ~Quietly() { set_quiet(before_); }
  Quietly(const Quietly&) = delete;
  Quietly& operator=(const Quietly&) = delete;

 private:
  bool before_;
};

}  // namespace espalier
