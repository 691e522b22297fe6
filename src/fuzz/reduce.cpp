#include "fuzz/reduce.h"

#include <algorithm>
#include <functional>
#include <set>

#include "base/error.h"
#include "fuzz/mutate.h"
#include "ir/interpret.h"

namespace espalier::fuzz {
namespace {

class Reducer {
 public:
  Reducer(const Case& c, const std::function<bool(const Case&)>& still, int most)
      : best_(c), still_(still), most_(most) {}

  Reduction run() {
    for (bool smaller = true; smaller && !spent();) {
      smaller = passes();
      smaller |= outputs();
      smaller |= nodes();
      smaller |= extents();
      smaller |= symbols();
    }
    return {std::move(best_), tried_};
  }

 private:
  bool spent() const { return tried_ >= most_; }

  /// Takes the case that `change` makes of the best one, if it still shows what it shall.
  template <class F>
  bool attempt(F change) {
    if (spent()) return false;
    Case next = best_;
    try {
      if (!change(next)) return false;
      std::vector<std::string> ignored;
      if (!is_fit(next, ignored) && ignored.empty()) return false;
    } catch (const std::exception&) {
      return false;
    }
    ++tried_;
    if (!still_(next)) return false;
    best_ = std::move(next);
    return true;
  }

  /// Runs of passes, long ones first.
  bool passes() {
    bool any = false;
    for (size_t length = best_.passes.size(); length > 0; length /= 2)
      for (size_t at = 0; at + length <= best_.passes.size();) {
        const bool gone = attempt([&](Case& c) {
          const auto begin = c.passes.begin() + std::ptrdiff_t(at);
          c.passes.erase(begin, begin + std::ptrdiff_t(length));
          return true;
        });
        any |= gone;
        if (!gone) ++at;
      }
    return any;
  }

  /// One output, with what it needs.
  bool outputs() {
    const std::vector<ValueId> all(best_.graph.outputs().begin(), best_.graph.outputs().end());
    if (all.size() < 2) return false;
    for (ValueId v : all)
      if (attempt([&](Case& c) {
            c.graph.set_outputs({v});
            return drop_unread(c);
          }))
        return true;
    return false;
  }

  /// Nodes from the last to the first; ids are of the best case when the attempt begins.
  bool nodes() {
    bool any = false;
    for (size_t back = 0; back < best_.graph.order().size() && !spent();) {
      const bool gone = attempt([&](Case& c) {
                          const NodeId id = c.graph.order()[c.graph.order().size() - 1 - back];
                          return take_out(c, id, /*operand=*/true);
                        }) ||
                        attempt([&](Case& c) {
                          const NodeId id = c.graph.order()[c.graph.order().size() - 1 - back];
                          return take_out(c, id, /*operand=*/false);
                        });
      any |= gone;
      if (!gone) ++back;
    }
    return any;
  }

  /// Without the node: its readers read its operand of that type, or a new input; where it was an
  /// output, its operands are.
  static bool take_out(Case& c, NodeId id, bool operand) {
    Graph& g = c.graph;
    const Node n = g.node(id);
    std::vector<ValueId> outputs(g.outputs().begin(), g.outputs().end());
    for (ValueId v : n.inputs)
      if (v != kNoValue && g.value(v).producer != kNoNode) outputs.push_back(v);
    std::erase_if(outputs, [&](ValueId v) { return std::ranges::count(n.outputs, v) > 0; });
    std::set<ValueId> seen;
    std::erase_if(outputs, [&](ValueId v) { return !seen.insert(v).second; });
    for (ValueId v : n.outputs) {
      if (v == kNoValue) continue;
      ValueId to = kNoValue;
      for (ValueId x : n.inputs)
        if (operand && x != kNoValue && g.value(x).type == g.value(v).type) to = x;
      if (operand && to == kNoValue) return false;
      if (to == kNoValue && !g.value(v).type.is_static()) return false;
      replace_result(c, v, to);
    }
    g.erase_node(id);
    g.set_outputs(outputs);
    reinfer(g);
    return drop_unread(c);
  }

  static bool drop_unread(Case& c) {
    Graph& g = c.graph;
    g.erase_dead();
    const auto users = g.users();
    const std::vector<ValueId> inputs(g.inputs().begin(), g.inputs().end());
    for (ValueId v : inputs) {
      const bool output = std::ranges::count(g.outputs(), v) > 0;
      if (!users[size_t(v)].empty() || output) continue;
      c.ranges.erase(g.value(v).name);
      g.erase_input(v);
    }
    g = g.compacted();
    return !g.outputs().empty();
  }

  /// Each extent of inputs to 1, to half, to one less.
  bool extents() {
    std::set<int64_t, std::greater<>> all;
    for (const Shape& s : shapes_of(best_)) all.insert(s.begin(), s.end());
    bool any = false;
    for (int64_t extent : all)
      for (int64_t to : {int64_t{1}, extent / 2, extent - 1}) {
        if (extent < 2 || to < 1 || to >= extent) continue;
        if (!attempt([&](Case& c) { return set_extent(c, extent, to); })) continue;
        any = true;
        break;
      }
    return any;
  }

  /// Open extents become numbers.
  bool symbols() {
    if (best_.extents.empty()) return false;
    return attempt([&](Case& c) {
      c.graph = specialised(c.graph, shapes_of(c));
      c.extents.clear();
      return true;
    });
  }

  Case best_;
  const std::function<bool(const Case&)>& still_;
  const int most_;
  int tried_ = 0;
};

bool is_failure(const std::string& found) {
  return found.starts_with("failed: ") || found.starts_with("refused: ");
}

}  // namespace

Reduction reduced(const Case& c, const std::function<bool(const Case&)>& still, int most) {
  return Reducer(c, still, most).run();
}

bool finds_again(const Case& c, const Finding& finding, const Subject& subject,
                 const CheckOptions& options) {
  const Outcome o = check(c, subject, options);
  return o.finding && o.finding->oracle == finding.oracle &&
         is_failure(o.finding->found) == is_failure(finding.found);
}

}  // namespace espalier::fuzz
