// A layout as SVG. What is drawn carries its meaning in class and data attributes, so that a
// picture can be counted:
//
//   <g class="link" data-from data-to data-slot data-value>   a value on its way, with one
//     <path class="axis">                                     for each of its axes, or a
//     <path class="thread">                                   where it has none
//   <g class="box" data-item>, <g class="input" …>, <g class="output" …>
//     <rect class="body">
//     <g class="store" data-slot data-value>                  a constant operand and its axes
//     <path class="tie">                                      an axis that runs through or is
//                                                             contracted ("tie whole": read whole)
//     <path class="end">                                      an axis that the operator mixes
//     <path class="repeat" data-slot data-axis>               broadcasting
#pragma once

#include <string>

#include "diagram/layout.h"

namespace espalier::diagram {

std::string to_svg(const Graph& graph, const Layout& layout, const std::string& source);

}  // namespace espalier::diagram
