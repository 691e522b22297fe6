// main() of test programs that know operators.
#include <gtest/gtest.h>

#include "ops/catalogue.h"

int main(int argc, char** argv) {
  // Parameterised tests enumerate rooms before main's body would normally run; see room_cases().
  espalier::ops::register_rooms();
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
