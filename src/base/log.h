// Messages for people, on standard error. Standard output belongs to results.
#pragma once

#include <functional>
#include <string_view>

namespace espalier {

/// --quiet keeps warnings and drops everything else.
void set_quiet(bool quiet);
bool is_quiet();

/// One line of news. Dropped when quiet.
void log_info(std::string_view message);
/// One line about something that went on but not as asked. Never dropped.
void log_warning(std::string_view message);

/// Where lines go instead of standard error; the string holds whole lines without colour. An empty
/// function restores standard error. Returns the former sink. For tests and for embedding.
using LogSink = std::function<void(std::string_view line)>;
LogSink set_log_sink(LogSink sink);

}  // namespace espalier
