#include "runtime/plan.h"

#include <bit>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/rng.h"
#include "ir/text.h"

namespace espalier {
namespace {

static_assert(std::endian::native == std::endian::little, "plans are little-endian");

constexpr std::string_view kMagic = "ESPLAN1\n";
constexpr size_t kHeaderBytes = 40;

struct Extent {
  uint64_t offset = 0, bytes = 0;
};

uint64_t aligned(uint64_t n) { return (n + 63) / 64 * 64; }

void put(std::string& out, uint64_t v) { out.append(reinterpret_cast<const char*>(&v), sizeof v); }
uint64_t get(std::span<const std::byte> bytes, size_t at) {
  uint64_t v;
  std::memcpy(&v, bytes.data() + at, sizeof v);
  return v;
}

}  // namespace

void save_plan(const Graph& graph, const std::filesystem::path& path) {
  std::vector<Tensor> weights;
  PrintOptions options;
  options.external = [&](const Tensor& t) {
    weights.push_back(t);
    return int64_t(weights.size()) - 1;
  };
  const std::string text = print(graph, options);
  std::vector<Extent> index;
  uint64_t end = aligned(kHeaderBytes + weights.size() * sizeof(Extent) + text.size());
  for (const Tensor& t : weights) {
    index.push_back({end, t.bytes()});
    end = aligned(end + t.bytes());
  }
  std::string body;
  for (const Extent& e : index) {
    put(body, e.offset);
    put(body, e.bytes);
  }
  body += text;
  std::string file(kMagic);
  put(file, text.size());
  put(file, stream_of(body));
  put(file, weights.size());
  put(file, end);
  file += body;
  for (size_t i = 0; i < weights.size(); ++i) {
    file.resize(index[i].offset, '\0');
    file.append(static_cast<const char*>(weights[i].raw()), weights[i].bytes());
  }
  file.resize(end, '\0');
  write_file_atomic(path, file);
}

Graph load_plan(const std::filesystem::path& path) {
  const auto map = std::make_shared<MappedFile>(path);
  const auto bytes = map->bytes();
  const auto fail = [&](const std::string& what) -> UserError {
    return bad_input(path.string(), what, "export the model to .plan again");
  };
  const auto text_of = [&](size_t at, size_t length) {
    return std::string_view(reinterpret_cast<const char*>(bytes.data()) + at, length);
  };
  if (bytes.size() < kHeaderBytes || text_of(0, kMagic.size()) != kMagic)
    throw fail("is not an Espalier plan of this version");
  const uint64_t text_bytes = get(bytes, 8), weights = get(bytes, 24);
  if (get(bytes, 32) != bytes.size()) throw fail("is truncated");
  const uint64_t room = bytes.size() - kHeaderBytes;
  if (weights > room / sizeof(Extent) || text_bytes > room - weights * sizeof(Extent))
    throw fail("is damaged");
  const size_t body_bytes = weights * sizeof(Extent) + text_bytes;
  if (stream_of(text_of(kHeaderBytes, body_bytes)) != get(bytes, 16)) throw fail("is damaged");
  const auto external = [&](int64_t number, const TensorType& type) {
    if (number < 0 || uint64_t(number) >= weights) throw fail("is damaged");
    const uint64_t offset = get(bytes, kHeaderBytes + size_t(number) * sizeof(Extent));
    const uint64_t size = get(bytes, kHeaderBytes + size_t(number) * sizeof(Extent) + 8);
    const uint64_t wanted = uint64_t(type.numel()) * size_of(type.dtype);
    if (size != wanted || offset % 64 != 0 || offset > bytes.size() || size > bytes.size() - offset)
      throw fail("is damaged");
    return Tensor(type.dtype, type.shape(), map, bytes.data() + offset);
  };
  return parse_graph(text_of(kHeaderBytes + weights * sizeof(Extent), text_bytes), path.string(),
                     external);
}

}  // namespace espalier
