// Gzip (RFC 1952) through zlib: whole buffers in and out, several members in a row allowed.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace espalier {

/// Whether `bytes` begin like a gzip member.
bool is_gzip(std::string_view bytes);

/// The decompressed bytes. Throws UserError naming `where` when the stream is damaged or truncated
/// (the checksum is verified), or would grow beyond `limit` bytes.
std::string gunzip(std::string_view bytes, const std::string& where,
                   size_t limit = size_t{1} << 33);

/// One gzip member without name and time, so equal input gives equal output. Level 0 to 9.
std::string gzip(std::string_view bytes, int level = 6);

/// A whole file, decompressed when it is gzip.
std::string read_file_gunzipped(const std::filesystem::path& path);

/// CRC-32 as in gzip and zip; `seed` continues an earlier sum.
uint32_t crc32_of(std::string_view bytes, uint32_t seed = 0);

}  // namespace espalier
