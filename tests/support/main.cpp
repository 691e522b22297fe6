// main() of test programs that know operators.
#include <gtest/gtest.h>

#include "ops/catalogue.h"

int main(int argc, char** argv) {
  // Parameterised tests are enumerated before main() and register the rooms themselves.
  espalier::ops::register_rooms();
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
