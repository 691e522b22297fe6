// Decoded and generated data kept between runs.
//
// A cache file holds one source (all splits) and a checksum; it is written whole or not at all,
// mapped when read, and rebuilt when damaged. A folder that cannot be written costs a warning and
// the time to decode again, nothing else.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "data/source.h"

namespace espalier {

/// $ESPALIER_CACHE/data, else $XDG_CACHE_HOME/espalier/data, else ~/.cache/espalier/data; empty
/// when none of the variables is set.
std::filesystem::path data_cache_folder();

/// What `make` returns, from the cache if it was made under the same `key` before. The key says
/// everything the result depends on: path, size and time of the source, options, a version.
RawData cached_data(const std::string& kind, const std::string& key,
                    const std::function<RawData()>& make);

/// The bytes of a cache file and back. Reading throws UserError when the bytes are damaged or
/// belong to another key; the tensors keep `owner` alive and view its bytes.
std::string write_cached_data(const RawData& data, const std::string& key);
RawData read_cached_data(std::string_view bytes, std::shared_ptr<const void> owner,
                         const std::string& key, const std::string& where);

}  // namespace espalier
