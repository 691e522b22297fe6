#include "deploy/c_function.h"

#include <algorithm>

#include "base/error.h"
#include "deploy/c_names.h"
#include "deploy/c_order.h"
#include "deploy/c_region.h"
#include "ir/builder.h"
#include "ir/derive.h"
#include "ir/interpret.h"
#include "ir/room.h"
#include "passes/fuse_region.h"
#include "passes/passes.h"
#include "runtime/memory_plan.h"

namespace espalier {
namespace {

/// Alignment of what lies in the arena: an f64 or i64.
constexpr size_t kWidestElement = 8;
/// Offsets and sizes above this do not fit an int.
constexpr int64_t kMostElements = int64_t{1} << 30;

/// Whether the node is written through what it expands to.
bool expands(const Graph& g, NodeId id) {
  const Node& n = g.node(id);
  if (n.room->emit.answered()) return false;
  if (n.room->emit.refused())
    throw unsupported(describe(g, id), "has no C form: it " + n.room->emit.why());
  if (passes::scalar_of(g, id)) return false;
  if (!n.room->expand.answered())
    throw unsupported(describe(g, id), "has no C form with these operands");
  return true;
}

void check_type(const Graph& g, ValueId v, const std::string& what) {
  const Type& type = g.value(v).type;
  if (!type.is_static())
    throw unsupported(what, "has a result of type " + to_string(type) +
                                ", whose size depends on data; C code needs fixed sizes");
  if (!has_c_type(type.tensor().dtype))
    throw unsupported(what, "computes with " + std::string(name_of(type.tensor().dtype)) +
                                ", for which C has no type");
  if (type.tensor().numel() > kMostElements)
    throw unsupported(what, "has a result of " + std::to_string(type.tensor().numel()) +
                                " elements, more than an int counts");
}

/// Writes one graph.
class FunctionWriter {
 public:
  FunctionWriter(CModule& module, const Graph& graph, std::string name)
      : module_(module), g_(graph), name_(std::move(name)), order_(c_order(graph)) {}

  CFunctionText run() {
    place_ends();
    place_states();
    for (NodeId id : order_) write(id);
    copy_outputs();
    copy_states();
    return assembled();
  }

 private:
  /// Memory of the arena, used from one step to another.
  struct Buffer {
    size_t bytes = 0;
    int first = 0, last = 0;
    int joined = -1;  ///< the buffer it shares memory with, before it in the list
    /// A state's memory, which is the caller's: the pointer to it.
    std::string state = {};
    ValueId next = kNoValue;  ///< what the state becomes
  };
  struct Declared {
    std::string type, name;
    int buffer = -1;
  };

  int steps() const { return int(order_.size()); }
  int root(int buffer) const {
    while (buffers_[size_t(buffer)].joined >= 0) buffer = buffers_[size_t(buffer)].joined;
    return buffer;
  }
  int new_buffer(size_t bytes, int first, int last) {
    buffers_.push_back({bytes, first, last});
    return int(buffers_.size()) - 1;
  }

  /// Inputs are parameters; what nodes make lies in the arena, or where an output belongs.
  void place_ends() {
    const size_t n = g_.value_count();
    pointer_.assign(n, "");
    buffer_.assign(n, -1);
    last_use_.assign(n, -1);
    int step = 0;
    for (NodeId id : order_) {
      for (ValueId v : g_.node(id).inputs)
        if (v != kNoValue) last_use_[size_t(v)] = step;
      ++step;
    }
    for (ValueId v : g_.outputs()) last_use_[size_t(v)] = steps();
    for (const StatePair& s : g_.states()) last_use_[size_t(s.output)] = steps();
    for (ValueId v : g_.inputs()) {
      pointer_[size_t(v)] = names_.fresh("v_", g_.value(v).name);
      inputs_.push_back(pointer_[size_t(v)]);
    }
    for (ValueId v : g_.outputs()) {
      const std::string name = names_.fresh("v_", g_.value(v).name);
      outputs_.push_back(name);
      const bool made = g_.value(v).producer != kNoNode;
      if (made && pointer_[size_t(v)].empty()) pointer_[size_t(v)] = name;
    }
  }

  size_t bytes_of(ValueId v) const {
    const TensorType& type = g_.value(v).tensor();
    return size_t(type.numel()) * size_of(type.dtype);
  }

  void place_states() {
    for (const StatePair& s : g_.states()) {
      int& buffer = buffer_[size_t(s.input)];
      buffer = new_buffer(bytes_of(s.input), -1, last_use_[size_t(s.input)]);
      buffers_.back().state = pointer_[size_t(s.input)];
      buffers_.back().next = s.output;
    }
  }

  const std::string& pointer(ValueId v) {
    std::string& p = pointer_[size_t(v)];
    if (p.empty() && g_.is_constant(v)) p = module_.table(*g_.value(v).constant, g_.value(v).name);
    ESP_CHECK(!p.empty(), "a value is read before it is made");
    return p;
  }

  void write(NodeId id) {
    const Node& n = g_.node(id);
    const std::string what = describe(g_, id);
    for (ValueId v : n.outputs)
      if (v != kNoValue) check_type(g_, v, what);
    if (const auto region = CRegion::of(g_, id)) {
      std::vector<std::string> pointers;
      for (ValueId v : n.inputs) pointers.push_back(pointer(v));
      take_region(id, *region, region->write(module_, pointers, target(n.outputs[0]).pointer));
      ++step_;
      return;
    }
    std::vector<CSource> sources;
    for (ValueId v : n.inputs)
      sources.push_back(v == kNoValue ? CSource{}
                                      : CSource{pointer(v), g_.value(v).tensor().dtype, {}});
    std::vector<CTarget> targets;
    for (ValueId v : n.outputs) targets.push_back(v == kNoValue ? CTarget{} : target(v));
    CWriter writer(module_, g_, id, std::move(sources), std::move(targets));
    if (n.room->emit.answered())
      (*n.room->emit)(n.attrs, writer);
    else
      writer.map(*passes::scalar_of(g_, id));
    writer.finish();
    take(id, writer);
    ++step_;
  }

  CTarget target(ValueId v) {
    std::string& p = pointer_[size_t(v)];
    if (p.empty()) p = names_.fresh("v_", g_.value(v).name);
    return {p, g_.value(v).tensor().dtype, {}};
  }

  bool is_parameter(const std::string& p) const {
    return std::ranges::find(outputs_, p) != outputs_.end() ||
           std::ranges::find(inputs_, p) != inputs_.end();
  }

  void take(NodeId id, const CWriter& writer) {
    const Node& n = g_.node(id);
    for (size_t o = 0; o < n.outputs.size(); ++o) {
      const ValueId v = n.outputs[o];
      if (v == kNoValue) continue;
      if (const int from = writer.view_of(o); from >= 0)
        take_view(v, n.inputs[size_t(from)]);
      else if (!is_parameter(pointer_[size_t(v)]))
        take_memory(v);
    }
    for (const auto& [o, i] : writer.overlays()) overlay(n, writer.overlays(), o, i);
    take_text(id, writer);
  }

  void take_region(NodeId id, const CRegion& region, const CWriter& writer) {
    const Node& n = g_.node(id);
    if (!is_parameter(pointer_[size_t(n.outputs[0])])) take_memory(n.outputs[0]);
    std::vector<std::pair<size_t, size_t>> overlays;
    for (const auto& [o, i] : writer.overlays())
      if (const int outer = region.outer_operand(i); outer >= 0) overlays.emplace_back(o, outer);
    if (!writer.wrote_whole(0))
      for (size_t i : region.residuals()) overlays.emplace_back(0, i);
    for (const auto& [o, i] : overlays) overlay(n, overlays, o, i);
    take_text(id, writer);
  }

  void take_text(NodeId id, const CWriter& writer) {
    // Where they lie is known once all are: their numbers hold the places of declarations.
    std::string declarations;
    const auto declare = [&](const std::string& type, const std::string& name, size_t bytes) {
      declarations += "    " + place_of(scratches_.size());
      scratches_.push_back({type, name, new_buffer(bytes, step_, step_)});
    };
    for (const CScratch& s : writer.scratches())
      declare(c_type(s.dtype) + "*", s.name, size_t(s.count) * size_of(s.dtype));
    if (writer.body_bytes() > 0)
      declare("unsigned char*", CWriter::kBodyArena, writer.body_bytes());
    if (writer.text().empty()) return;
    text_ +=
        "  { /* " + c_comment(describe(g_, id)) + " */\n" + declarations + writer.text() + "  }\n";
  }

  static std::string place_of(size_t scratch) { return "@" + std::to_string(scratch) + "\n"; }

  void take_view(ValueId v, ValueId of) {
    pointer_[size_t(v)] = pointer(of);
    buffer_[size_t(v)] = buffer_[size_t(of)];
    extend(v);
  }

  void take_memory(ValueId v) {
    const TensorType& type = g_.value(v).tensor();
    const size_t bytes = std::max<size_t>(1, bytes_of(v));
    const int last = std::max(last_use_[size_t(v)], step_);
    buffer_[size_t(v)] = new_buffer(bytes, step_, last);
    values_.push_back({c_type(type.dtype) + "*", pointer_[size_t(v)], buffer_[size_t(v)]});
  }

  /// A view lives as long as its readers.
  void extend(ValueId v) {
    if (buffer_[size_t(v)] < 0) return;
    Buffer& b = buffers_[size_t(root(buffer_[size_t(v)]))];
    b.last = std::max(b.last, last_use_[size_t(v)]);
  }

  bool is_next_state(ValueId v) const {
    return std::ranges::any_of(g_.states(), [&](const StatePair& s) { return s.output == v; });
  }

  /// The result takes the operand's memory if nobody reads that afterwards.
  void overlay(const Node& n, const std::vector<std::pair<size_t, size_t>>& pairs, size_t o,
               size_t i) {
    const ValueId to = n.outputs[o], from = n.inputs[i];
    if (to == kNoValue) return;
    const int target = buffer_[size_t(to)], source = buffer_[size_t(from)];
    if (target < 0 || source < 0 || buffers_[size_t(target)].joined >= 0) return;
    const int home = root(source);
    if (home == root(target) || buffers_[size_t(home)].last > step_ ||
        buffers_[size_t(home)].bytes < buffers_[size_t(target)].bytes)
      return;
    // A state's memory is for what the state becomes, and the other way about.
    if (buffers_[size_t(home)].next != to &&
        (buffers_[size_t(home)].next != kNoValue || is_next_state(to)))
      return;
    // Every other operand in that memory must be walked as the result is, too.
    for (size_t k = 0; k < n.inputs.size(); ++k) {
      const ValueId v = n.inputs[k];
      if (v == kNoValue || buffer_[size_t(v)] < 0 || root(buffer_[size_t(v)]) != home) continue;
      if (std::ranges::find(pairs, std::pair(o, k)) == pairs.end()) return;
    }
    Buffer& b = buffers_[size_t(home)];
    b.last = std::max(b.last, buffers_[size_t(target)].last);
    buffers_[size_t(target)].joined = home;
  }

  /// Outputs that are inputs, constants, views of something, or the same value twice.
  void copy_outputs() {
    for (size_t o = 0; o < outputs_.size(); ++o) {
      const ValueId v = g_.outputs()[o];
      copy(outputs_[o], pointer(v), bytes_of(v));
    }
  }

  /// What could not be computed where the state lies.
  void copy_states() {
    for (const StatePair& s : g_.states()) {
      const std::string from = pointer(s.output);
      const int buffer = buffer_[size_t(s.output)];
      if (buffer >= 0) {
        const Buffer& home = buffers_[size_t(root(buffer))];
        if (home.state == pointer_[size_t(s.input)]) continue;
        if (!home.state.empty())
          throw unsupported("state '" + g_.value(s.input).name + "'",
                            "becomes what another state was, which has no C form");
      }
      copy(pointer_[size_t(s.input)], from, bytes_of(s.output));
    }
  }

  void copy(const std::string& to, const std::string& from, size_t bytes) {
    if (from == to || bytes == 0) return;
    text_ += "  memcpy(" + to + ", " + from + ", " + std::to_string(bytes) + ");\n";
  }

  CFunctionText assembled() {
    std::vector<BufferLife> lives;
    std::vector<int> place(buffers_.size(), -1);
    for (size_t i = 0; i < buffers_.size(); ++i)
      if (buffers_[i].joined < 0 && buffers_[i].state.empty()) {
        place[i] = int(lives.size());
        lives.push_back({buffers_[i].bytes, buffers_[i].first, buffers_[i].last});
      }
    const MemoryPlan plan = plan_memory(lives, kWidestElement);
    size_t used = 0;
    for (size_t i = 0; i < lives.size(); ++i)
      used = std::max(used, plan.offsets[i] + lives[i].bytes);
    const auto at = [&](int buffer) { return plan.offsets[size_t(place[size_t(root(buffer))])]; };
    const auto declared = [&](const Declared& d, const std::string& name) {
      if (const std::string& state = buffers_[size_t(root(d.buffer))].state; !state.empty())
        return d.type + " const " + name + " = " + state + ";";
      const std::string base =
          at(d.buffer) == 0 ? "arena" : "arena + " + std::to_string(at(d.buffer));
      return d.type + " const " + name + " = " +
             (d.type == "unsigned char*" ? base : "(" + d.type + ")(" + base + ")") + ";";
    };
    std::string head = "static int " + name_ + "(unsigned char* arena";
    for (size_t i = 0; i < inputs_.size(); ++i) {
      const ValueId v = g_.inputs()[i];
      head += (buffer_[size_t(v)] < 0 ? ", const " : ", ") + c_type(g_.value(v).tensor().dtype) +
              "* " + inputs_[i];
    }
    for (size_t o = 0; o < outputs_.size(); ++o)
      head += ", " + c_type(g_.value(g_.outputs()[o]).tensor().dtype) + "* " + outputs_[o];
    head += ") {\n";
    std::string declarations;
    for (const Declared& d : values_)
      if (mentions(text_, d.name)) declarations += "  " + declared(d, d.name) + "\n";
    std::string text = text_;
    for (size_t i = 0; i < scratches_.size(); ++i)
      text = replaced(text, place_of(i), declared(scratches_[i], scratches_[i].name) + "\n");
    text = declarations + text;
    std::string unused;
    for (const auto* list : {&inputs_, &outputs_})
      for (const std::string& p : *list)
        if (!mentions(text, p)) unused += "  (void)" + p + ";\n";
    if (!mentions(text, "arena")) unused += "  (void)arena;\n";
    return {head + unused + text + "  return 0;\n}\n", used};
  }

  CModule& module_;
  const Graph& g_;
  std::string name_;
  std::vector<NodeId> order_;
  CNames names_;
  std::vector<std::string> pointer_;  ///< of each value
  std::vector<int> buffer_;           ///< of each value; -1 outside the arena
  std::vector<int> last_use_;
  std::vector<std::string> inputs_, outputs_;
  std::vector<Buffer> buffers_;
  std::vector<Declared> values_, scratches_;
  std::string text_;
  int step_ = 0;
};

}  // namespace

Graph prepared_for_c(const Graph& graph) {
  Graph g = graph.compacted();
  const std::vector<std::string> folds = {"fold_constants",  "fold_branches", "fold_identity",
                                          "fold_batch_norm", "fold_gelu",     "fold_layer_norm",
                                          "remove_dead"};
  const std::vector<std::string> fuses = {"fuse_integer", "fuse_epilogue", "fuse_pointwise",
                                          "remove_dead"};
  passes::expand_regions(g);
  for (bool changed = true; changed;) {
    run_passes(g, {}, folds);
    changed = false;
    for (NodeId id : std::vector<NodeId>(g.order())) {
      if (!expands(g, id)) continue;
      expand_in_place(g, id);
      changed = true;
    }
  }
  run_passes(g, {}, fuses);
  for (NodeId id : std::vector<NodeId>(g.order()))
    if (passes::region_body(g, id) && !CRegion::of(g, id)) expand_in_place(g, id);
  return g.compacted();
}

CFunctionText c_function(CModule& module, const Graph& graph, const std::string& name) {
  return FunctionWriter(module, graph, name).run();
}

}  // namespace espalier
