#include "runtime/order.h"

#include <gtest/gtest.h>

namespace espalier {
namespace {

// Tensors: 0 and 1 are layers' outputs, 2 the answer; 3 and 4 are looked up from what is there at
// the beginning, one for each layer; 5 and 6 are the updates that compare both.
TEST(Order, UpdatesComeEarlyAndWhatTheyAloneReadNotBefore) {
  const std::vector<Work> works = {{{}, {3}},  {{}, {4}},     {{}, {0}},    {{0}, {1}},
                                   {{1}, {2}}, {{1, 4}, {6}}, {{0, 3}, {5}}};
  std::vector<bool> wanted(7, false);
  wanted[2] = true;
  EXPECT_EQ(update_early(works, wanted, {}), (std::vector<int>{0, 2, 6, 1, 3, 5, 4}));
}

// Tensors: 0 and 1 are layers' outputs, 2 the answer; 3 is what is kept of 0 in fewer bytes, 4 that
// in full again, 5 the update that compares it with the answer's.
TEST(Order, WhatShrinksDoesNotWaitForItsReaders) {
  std::vector<Work> works = {{{}, {0}},  {{0}, {3}}, {{0}, {1}},
                             {{1}, {2}}, {{3}, {4}}, {{2, 4}, {5}}};
  std::vector<bool> wanted(6, false);
  wanted[2] = true;
  EXPECT_EQ(update_early(works, wanted, {}), (std::vector<int>{0, 2, 1, 3, 4, 5}));
  works[1].shrinks = true;
  EXPECT_EQ(update_early(works, wanted, {}), (std::vector<int>{0, 1, 2, 3, 4, 5}));
}

// Tensors: 0 is a layer's output, 1 the loss; 2 and 4 are gradients of layers, 3 and 5 those of
// their weights, which 7 and 6 update.
TEST(Order, UpdatesRunAsSoonAsTheirGradientIsThere) {
  const std::vector<Work> works = {{{}, {0}},  {{0}, {1}}, {{1}, {2}}, {{2}, {3}},
                                   {{2}, {4}}, {{4}, {5}}, {{5}, {6}}, {{3}, {7}}};
  std::vector<bool> wanted(8, false);
  wanted[1] = true;
  EXPECT_EQ(update_early(works, wanted, {}), (std::vector<int>{0, 1, 2, 3, 7, 4, 5, 6}));
}

}  // namespace
}  // namespace espalier
