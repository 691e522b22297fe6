// The one owner of standard error: log lines and the progress line share it without tearing.
#pragma once

#include <string_view>

namespace espalier {

/// Whether standard error is a terminal that can redraw a line, and no sink was set.
bool terminal_can_redraw();
/// Draws `line` in place of the progress line drawn last; an empty line erases it.
void terminal_redraw(std::string_view line);
/// Writes a whole line, erasing the progress line first and redrawing it after.
void terminal_write_line(std::string_view line);

}  // namespace espalier
