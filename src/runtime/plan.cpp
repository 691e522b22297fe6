#include "runtime/plan.h"

#include <array>
#include <bit>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/rng.h"
#include "ir/derive.h"
#include "ir/interpret.h"
#include "ir/text.h"
#include "kernels/packed_weights.h"

namespace espalier {
namespace {

static_assert(std::endian::native == std::endian::little, "plans are little-endian");

constexpr std::string_view kMagic = "ESPLAN2\n";
constexpr size_t kAlignment = 64;

struct Header {
  uint64_t text = 0, hash = 0, extents = 0, file = 0, names = 0;
};
struct Extent {
  uint64_t offset = 0, bytes = 0, weight = 0, name = 0;
};
constexpr size_t kHeaderBytes = kMagic.size() + sizeof(Header);

uint64_t aligned(uint64_t n) { return (n + kAlignment - 1) / kAlignment * kAlignment; }

template <class T>
std::string_view bytes_of(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}
template <class T>
T read_at(std::span<const std::byte> bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}
std::string_view text_at(std::span<const std::byte> bytes, size_t at, size_t length) {
  return {reinterpret_cast<const char*>(bytes.data()) + at, length};
}
std::span<const std::byte> contents(const Tensor& t) {
  return {static_cast<const std::byte*>(t.raw()), t.bytes()};
}

/// Programs of the graph; while they live, so do the forms of its weights.
std::vector<std::shared_ptr<const Program>> programs_of(const Graph& graph,
                                                        std::span<const CompileOptions> options) {
  std::vector<Shape> shapes;
  for (ValueId v : graph.inputs()) {
    const Type& type = graph.value(v).type;
    if (!type.is_tensor()) return {};
    Shape& shape = shapes.emplace_back();
    for (const Dim& d : type.tensor().dims) shape.push_back(d.known() ? d.value() : 1);
  }
  std::vector<std::shared_ptr<const Program>> programs;
  try {
    const Graph fixed = specialised(graph, shapes);
    if (!dynamics_of(fixed).empty()) return {};
    for (const CompileOptions& o : options) programs.push_back(compile(fixed, o));
  } catch (const UserError&) {
    // Not for these shapes; whoever opens the plan says others, or learns why.
  }
  return programs;
}

/// A plan's file while something of it is in use.
struct OpenPlan {
  explicit OpenPlan(const std::filesystem::path& path) : file(path) {}
  MappedFile file;
  std::optional<kernels::LentForms> forms;
};

}  // namespace

void save_plan(const Graph& graph, const std::filesystem::path& path,
               std::span<const CompileOptions> prepare) {
  std::vector<Tensor> weights;
  PrintOptions options;
  options.external = [&](const Tensor& t) {
    weights.push_back(t);
    return int64_t(weights.size()) - 1;
  };
  const std::string text = print(graph, options);
  std::vector<Extent> index;
  std::vector<std::span<const std::byte>> data;
  std::string names;
  const auto add = [&](std::span<const std::byte> bytes, size_t weight, std::string_view name) {
    index.push_back({0, bytes.size(), weight, name.size()});
    data.push_back(bytes);
    names += name;
  };
  for (size_t i = 0; i < weights.size(); ++i) add(contents(weights[i]), i, "");
  std::vector<kernels::NamedForm> forms;
  {
    const auto programs = programs_of(graph, prepare);
    for (size_t i = 0; i < weights.size() && !programs.empty(); ++i)
      for (auto& form : kernels::held_forms(contents(weights[i]))) {
        add({form.packed.data.get(), form.packed.bytes}, i, form.name);
        forms.push_back(std::move(form));
      }
  }

  uint64_t end = aligned(kHeaderBytes + index.size() * sizeof(Extent) + names.size() + text.size());
  for (Extent& e : index) {
    e.offset = end;
    end = aligned(end + e.bytes);
  }
  std::string body;
  for (const Extent& e : index) body += bytes_of(e);
  body += names;
  body += text;
  const Header header{text.size(), stream_of(body), index.size(), end, names.size()};

  static constexpr std::array<char, kAlignment> kZeros{};
  std::vector<std::string_view> pieces = {kMagic, bytes_of(header), body};
  uint64_t written = kHeaderBytes + body.size();
  const auto fill = [&] {
    pieces.emplace_back(kZeros.data(), aligned(written) - written);
    written = aligned(written);
  };
  fill();
  for (const auto& bytes : data) {
    pieces.emplace_back(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    written += bytes.size();
    fill();
  }
  write_file_atomic(path, pieces);
}

Graph load_plan(const std::filesystem::path& path) {
  const auto plan = std::make_shared<OpenPlan>(path);
  const auto bytes = plan->file.bytes();
  const auto fail = [&](const std::string& what) -> UserError {
    return bad_input(path.string(), what, "export the model to .plan again");
  };
  if (bytes.size() < kHeaderBytes || text_at(bytes, 0, kMagic.size()) != kMagic)
    throw fail("is not an Espalier plan of this version");
  const auto header = read_at<Header>(bytes, kMagic.size());
  if (header.file != bytes.size()) throw fail("is truncated");
  uint64_t room = bytes.size() - kHeaderBytes;
  if (header.extents > room / sizeof(Extent)) throw fail("is damaged");
  room -= header.extents * sizeof(Extent);
  if (header.names > room || header.text > room - header.names) throw fail("is damaged");
  const size_t names = kHeaderBytes + header.extents * sizeof(Extent);
  const size_t text = names + header.names;
  if (stream_of(text_at(bytes, kHeaderBytes, text + header.text - kHeaderBytes)) != header.hash)
    throw fail("is damaged");

  using kernels::LentForms;
  std::vector<LentForms::Weight> weights;
  std::map<uint64_t, size_t> place;  // in `weights`, of the weight of that number
  size_t name = names;
  for (uint64_t i = 0; i < header.extents; ++i) {
    const auto e = read_at<Extent>(bytes, kHeaderBytes + i * sizeof(Extent));
    if (e.offset % kAlignment != 0 || e.offset > bytes.size() ||
        e.bytes > bytes.size() - e.offset || e.name > text - name)
      throw fail("is damaged");
    const auto extent = bytes.subspan(e.offset, e.bytes);
    if (e.weight == i) {
      place[i] = weights.size();
      weights.push_back({extent, {}});
    } else if (const auto at = place.find(e.weight); at != place.end()) {
      weights[at->second].forms.push_back({std::string(text_at(bytes, name, e.name)), extent});
    } else {
      throw fail("is damaged");
    }
    name += e.name;
  }
  const auto external = [&](int64_t number, const TensorType& type) {
    const auto at = number < 0 ? place.end() : place.find(uint64_t(number));
    if (at == place.end()) throw fail("is damaged");
    const auto extent = weights[at->second].bytes;
    if (extent.size() != uint64_t(type.numel()) * size_of(type.dtype)) throw fail("is damaged");
    return Tensor(type.dtype, type.shape(), plan, extent.data());
  };
  Graph graph = parse_graph(text_at(bytes, text, header.text), path.string(), external);
  plan->forms.emplace(std::move(weights), plan);
  return graph;
}

}  // namespace espalier
