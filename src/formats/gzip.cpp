#include "formats/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/files.h"

namespace espalier {
namespace {

constexpr size_t kStep = size_t{1} << 18;
constexpr int kGzipWindow = 15 + 16;  // largest window, gzip framing

/// zlib counts input in 32 bits; larger buffers are handed over piece by piece.
void refill(z_stream& stream, std::string_view& rest) {
  if (stream.avail_in > 0 || rest.empty()) return;
  const size_t n = std::min<size_t>(rest.size(), std::numeric_limits<uInt>::max());
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(rest.data()));
  stream.avail_in = uInt(n);
  rest.remove_prefix(n);
}

struct Inflater {
  z_stream stream{};
  Inflater() { ESP_CHECK(inflateInit2(&stream, kGzipWindow) == Z_OK, "zlib refuses to start"); }
  ~Inflater() { inflateEnd(&stream); }
};

struct Deflater {
  z_stream stream{};
  explicit Deflater(int level) {
    ESP_CHECK(deflateInit2(&stream, level, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY) == Z_OK,
              "zlib refuses to start");
  }
  ~Deflater() { deflateEnd(&stream); }
};

}  // namespace

bool is_gzip(std::string_view bytes) {
  return bytes.size() >= 2 && bytes[0] == '\x1f' && bytes[1] == '\x8b';
}

std::string gunzip(std::string_view bytes, const std::string& where, size_t limit) {
  if (!is_gzip(bytes)) throw bad_input(where, "is not a gzip file");
  Inflater inflater;
  z_stream& stream = inflater.stream;
  std::string out;
  std::string_view rest = bytes;
  for (;;) {
    refill(stream, rest);
    const size_t done = out.size();
    out.resize(done + kStep);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + done);
    stream.avail_out = uInt(kStep);
    const int status = inflate(&stream, Z_NO_FLUSH);
    out.resize(out.size() - stream.avail_out);
    if (out.size() > limit)
      throw unsupported(where, "holds more than " + std::to_string(limit) + " bytes");
    if (status == Z_STREAM_END) {
      if (stream.avail_in == 0 && rest.empty()) return out;
      inflateReset(&stream);  // a further member
    } else if (status == Z_BUF_ERROR) {
      if (stream.avail_in == 0 && rest.empty())
        throw bad_input(where, "is a truncated gzip file", "fetch it again");
    } else if (status != Z_OK) {
      throw bad_input(where,
                      std::string("is a damaged gzip file") +
                          (stream.msg ? std::string(": ") + stream.msg : std::string()),
                      "fetch it again");
    }
  }
}

std::string gzip(std::string_view bytes, int level) {
  Deflater deflater(level);
  z_stream& stream = deflater.stream;
  std::string out;
  std::string_view rest = bytes;
  int status = Z_OK;
  while (status != Z_STREAM_END) {
    refill(stream, rest);
    const size_t done = out.size();
    out.resize(done + kStep);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + done);
    stream.avail_out = uInt(kStep);
    status = deflate(&stream, rest.empty() ? Z_FINISH : Z_NO_FLUSH);
    ESP_CHECK(status != Z_STREAM_ERROR, "zlib lost its state");
    out.resize(out.size() - stream.avail_out);
  }
  return out;
}

std::string read_file_gunzipped(const std::filesystem::path& path) {
  std::string bytes = read_file(path);
  return is_gzip(bytes) ? gunzip(bytes, path.string()) : bytes;
}

uint32_t crc32_of(std::string_view bytes, uint32_t seed) {
  return uint32_t(::crc32_z(seed, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

}  // namespace espalier
