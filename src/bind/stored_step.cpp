// A step whose moments are stored in 8-bit floats: read, moved on and written a few groups at a
// time.
#include <algorithm>
#include <array>
#include <vector>

#include "base/threads.h"
#include "bind/contraction.h"
#include "bind/families.h"
#include "bind/optimiser_step.h"
#include "bind/region_source.h"
#include "ir/builder.h"
#include "kernels/float8.h"

namespace espalier::bind {
namespace {

constexpr int64_t kMostAtOnce = 2048;
constexpr size_t kMostMoments = 2;

/// Where one of the region's tensors is: an operand or a result, by number.
struct StoredMoment {
  Float8Groups groups;
  size_t operand = 0;  ///< of the step
  int codes_in = -1, scales_in = -1, codes_out = -1, scales_out = -1;
};

struct StoredStep {
  RangeStep step;
  int64_t n = 0, at_once = 0;
  DType gradient = DType::f32;
  std::vector<int> operands;  ///< of the region, by those of the step; of moments -1
  int parameter_out = -1;
  std::vector<StoredMoment> moments;

  void run(const KernelArgs& k) const {
    parallel_for((n + at_once - 1) / at_once, 1, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) part(k, i * at_once, std::min(n, (i + 1) * at_once));
    });
  }

 private:
  void part(const KernelArgs& k, int64_t begin, int64_t end) const {
    std::array<std::array<float, kMostAtOnce>, kMostMoments> buffers;
    std::vector<const void*> in;
    for (int operand : operands) in.push_back(operand < 0 ? nullptr : k.in[operand]);
    std::vector<void*> out(1 + moments.size());
    const auto at = [&](const void* p, DType type) {
      return static_cast<const char*>(p) + begin * int64_t(size_of(type));
    };
    in[0] = at(in[0], DType::f32);
    in[1] = at(in[1], gradient);
    out[0] = k.write<float>(size_t(parameter_out)) + begin;
    for (size_t m = 0; m < moments.size(); ++m) {
      const StoredMoment& s = moments[m];
      kernels::load_float8(end - begin, s.groups, k.read<uint8_t>(size_t(s.codes_in)) + begin,
                           k.read<bfloat16>(size_t(s.scales_in)) + beside(s, begin), DType::f32,
                           buffers[m].data());
      in[s.operand] = out[s.operand - 1] = buffers[m].data();
    }
    step(end - begin, {in.data(), out.data(), nullptr});
    for (size_t m = 0; m < moments.size(); ++m) {
      const StoredMoment& s = moments[m];
      kernels::store_float8(end - begin, s.groups, DType::f32, buffers[m].data(),
                            k.write<uint8_t>(size_t(s.codes_out)) + begin,
                            k.write<bfloat16>(size_t(s.scales_out)) + beside(s, begin));
    }
  }

  static int64_t beside(const StoredMoment& m, int64_t begin) {
    return begin / m.groups.length * m.groups.beside();
  }
};

/// The step of a region that is one, with its moments.
std::variant<StoredStep, Refuse> stored_step(const BindRequest& r, const Graph& g) {
  const Refuse other{"is no step with stored moments"};
  const auto found = std::ranges::find_if(g.order(), [&](NodeId n) { return is_range_step(g, n); });
  if (found == g.order().end()) return other;
  const Node& node = g.node(*found);
  BindRequest inner{node.room, node.attrs, types_in(g, *found), types_out(g, *found), {}, {}};
  inner.wanted.assign(node.outputs.size(), true);
  BoundStep step = range_step(inner);
  if (auto* no = std::get_if<Refuse>(&step)) return *no;
  StoredStep s;
  s.step = std::get<RangeStep>(std::move(step));
  s.n = inner.in[0].numel();
  s.gradient = inner.in_dtype(1);
  const auto result = [&](ValueId v) {
    const auto at = std::ranges::find(g.outputs(), v);
    return at == g.outputs().end() ? -1 : int(at - g.outputs().begin());
  };
  const auto users = g.users();
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const ValueId v = node.inputs[i];
    const NodeId from = g.value(v).producer;
    s.operands.push_back(from == kNoNode ? region_source(g, v).operand : -1);
    if (from == kNoNode && s.operands.back() < 0) return Refuse{"an operand is a constant"};
    if (from == kNoNode) continue;
    // What operand i was is result i - 1 after the step.
    const auto& readers = users[size_t(node.outputs[i - 1])];
    if (!reads_float8(g, from) || readers.size() != 1 || !writes_float8(g, readers[0]))
      return other;
    const Node &read = g.node(from), &write = g.node(readers[0]);
    StoredMoment m;
    m.groups = float8_groups(*read.room, read.attrs);
    if (!(float8_groups(*write.room, write.attrs) == m.groups) || m.groups.length == 0)
      return Refuse{"moments are read in other groups than they are written in"};
    m.operand = i;
    m.codes_in = region_source(g, read.inputs[0]).operand;
    m.scales_in = region_source(g, read.inputs[1]).operand;
    m.codes_out = result(write.outputs[0]);
    m.scales_out = result(write.outputs[1]);
    if (std::min({m.codes_in, m.scales_in, m.codes_out, m.scales_out}) < 0) return other;
    s.moments.push_back(m);
  }
  s.parameter_out = result(node.outputs[0]);
  if (s.parameter_out < 0 || s.moments.size() + 1 != node.outputs.size() ||
      s.moments.size() > kMostMoments || g.order().size() != 1 + 2 * s.moments.size())
    return other;
  const int64_t length = s.moments[0].groups.length;
  for (const StoredMoment& m : s.moments)
    if (m.groups.length != length || length > kMostAtOnce)
      return Refuse{"groups are too long to be taken at once"};
  s.at_once = kMostAtOnce / length * length;
  return s;
}

Bound bind_stored_step(const BindRequest& r) {
  const auto body = region_body(r);
  if (!body) return Refuse{"is no region"};
  auto step = stored_step(r, *body);
  if (auto* no = std::get_if<Refuse>(&step)) return *no;
  const StoredStep& s = std::get<StoredStep>(step);
  for (bool w : r.wanted)
    if (!w) return Refuse{"a result is not asked for"};
  std::vector<std::pair<int, int>> in_place = {{s.parameter_out, s.operands[0]}};
  for (const StoredMoment& m : s.moments) {
    in_place.emplace_back(m.codes_out, m.codes_in);
    in_place.emplace_back(m.scales_out, m.scales_in);
  }
  auto kernel = function_kernel("stored step", [s](const KernelArgs& k) { s.run(k); });
  kernel->in_place = std::move(in_place);
  return kernel;
}

}  // namespace

Entries stored_step_entries() { return {{"espalier.Fused", {"stored step", bind_stored_step}}}; }

}  // namespace espalier::bind
