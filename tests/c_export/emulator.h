// Tests that need an emulator of microcontrollers are skipped where there is none.
#pragma once

#include <gtest/gtest.h>

#include "base/error.h"
#include "deploy/emulated_c.h"

namespace espalier::testing {

inline bool has_emulator() {
  static const bool has = [] {
    try {
      EmulatedC(CFile("nothing"), "cortex-m3").run({});
      return true;
    } catch (const UserError&) {
      return false;
    }
  }();
  return has;
}

}  // namespace espalier::testing

#define ESP_SKIP_WITHOUT_EMULATOR()         \
  if (!::espalier::testing::has_emulator()) \
  GTEST_SKIP()                              \
      << "no arm-none-eabi-gcc, or no qemu-system-arm: tools/install_dependencies.sh --device"
