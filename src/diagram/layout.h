// Where everything stands in a picture. The columns of the source run from top to bottom: data flow
// down, parallel paths stand side by side, so a phone scrolls along the network.
#pragma once

#include <string>
#include <vector>

#include "diagram/axes.h"
#include "diagram/repeats.h"

namespace espalier::diagram {

/// A value as a bundle of wires, one for each axis. What has no axes is one thread.
struct Bundle {
  ValueId value = kNoValue;
  std::vector<double> at;           ///< of each wire, from the bundle's left
  std::vector<std::string> labels;  ///< of each wire; empty for a thread
  double width = 0;
  bool thread() const { return labels.empty(); }
};

/// Operands that are constants: wires that enter a box from its right.
struct Store {
  int slot = 0;
  Bundle bundle;  ///< `at` counts down from the box's top
  std::string name;
};

/// Something that has a place.
struct Item {
  enum class Kind : uint8_t { kInput, kBox, kOutput, kBend };
  Kind kind = Kind::kBox;
  NodeId node = kNoNode;
  ValueId value = kNoValue;  ///< of inputs, outputs and bends
  int layer = 0;
  double x = 0, y = 0;           ///< left and top
  double width = 0, height = 0;  ///< of the box itself
  double beside = 0;             ///< what its stores take to the right of it
  double label_width = 0;
  std::vector<std::string> lines;  ///< what is written in it
  BoxAxes axes;
  std::vector<Store> stores;
  /// By operand and result slot; unused for operands that are constants or omitted.
  std::vector<Bundle> operands, results;
  std::vector<double> operand_x, result_x;  ///< left ends, from the box's left

  double right() const { return x + width + beside; }
};

/// A value on its way from where it is made to one operand slot, past other boxes by bends.
struct Link {
  int from = 0, result = 0;
  int to = 0, slot = 0;
  std::vector<int> bends;
  ValueId value = kNoValue;
};

/// A block that is drawn once and stands `count` times.
struct Frame {
  size_t count = 0;
  double x = 0, y = 0, width = 0, height = 0;
};

struct Layout {
  std::vector<Item> items;  ///< inputs, boxes and outputs first, bends behind them
  size_t drawn = 0;         ///< how many of them are no bends
  std::vector<Link> links;
  std::vector<Frame> frames;
  std::vector<double> layer_bottom;  ///< lowest edge of each layer
  double width = 0, height = 0;
};

/// With `folded` those blocks are drawn once.
Layout lay_out(const Graph& graph, const std::vector<Repetition>& folded = {});

}  // namespace espalier::diagram
