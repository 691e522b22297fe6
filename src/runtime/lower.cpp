#include "runtime/lower.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/threads.h"
#include "bind/binder.h"
#include "ir/builder.h"
#include "ir/derive.h"
#include "ir/interpret.h"
#include "passes/fuse_region.h"
#include "passes/passes.h"
#include "runtime/schedule.h"
#include "runtime/sharing.h"

namespace espalier {
namespace {

/// A value while lowering: its type, its constant if known, and the buffers that hold it.
struct Located {
  Type type;
  const Tensor* constant = nullptr;
  struct Copy {
    Layout layout;
    int buffer;
  };
  std::vector<Copy> copies;

  const TensorType& tensor() const { return type.tensor(); }
};
using Scope = std::vector<Located>;

void require_static(const Graph& g, ValueId id) {
  const Value& v = g.value(id);
  if (!v.type.is_tensor())
    throw unsupported("value '" + v.name + "'",
                      "is " + to_string(v.type) + "; the runtime runs tensors only");
  if (!v.tensor().is_static())
    throw unsupported("value '" + v.name + "'",
                      "has the type " + to_string(v.type) + ", whose extents are not all known",
                      "give the shapes of the inputs");
}

class Lowering {
 public:
  Lowering(const CompileOptions& options, ProgramImpl& program) : options_(options), p_(program) {}

  void run(Graph& g) {
    whole_ = &g;
    Scope scope = scope_of(g);
    for (size_t i = 0; i < g.inputs().size(); ++i) add_input(g, g.inputs()[i], scope);
    lower_nodes(g, scope);
    for (size_t k = 0; k < g.outputs().size(); ++k) add_output(g, int(k), scope);
    std::vector<StateWrite> writes;
    for (const StatePair& s : g.states()) writes.push_back(state_write(g, s, scope));
    schedule(p_, writes);
    if (options_.strict && !fallbacks_.empty())
      throw unsupported(fallbacks_.front(), "only the reference kernel runs it" + others(),
                        "run without strict, or see the reasons with explain");
  }

 private:
  static Scope scope_of(const Graph& g) {
    Scope scope(g.value_count());
    for (size_t i = 0; i < scope.size(); ++i) {
      if (!g.alive(ValueId(i))) continue;
      const Value& v = g.value(ValueId(i));
      scope[i].type = v.type;
      if (v.constant) scope[i].constant = &*v.constant;
    }
    return scope;
  }

  std::string others() const {
    const size_t n = fallbacks_.size() - 1;
    return n == 0 ? "" : " (and " + std::to_string(n) + " more nodes)";
  }

  int new_buffer(size_t bytes, Place place = Place::kArena, int index = 0) {
    p_.buffers.push_back({place, bytes, index, 0, {}});
    return int(p_.buffers.size()) - 1;
  }
  /// For what a kernel leaves behind.
  int result_buffer(const TensorType& t) {
    return new_buffer(bytes_of(t), t.dtype == DType::string ? Place::kStrings : Place::kArena);
  }
  static size_t bytes_of(const TensorType& t) { return size_t(t.numel()) * size_of(t.dtype); }

  void add_input(const Graph& g, ValueId id, Scope& scope) {
    require_static(g, id);
    const Value& v = g.value(id);
    const bool state = std::any_of(g.states().begin(), g.states().end(),
                                   [&](const StatePair& s) { return s.input == id; });
    if (state && v.tensor().dtype == DType::string)
      throw unsupported("state '" + v.name + "'", "holds strings, which no run keeps");
    auto& names = state ? p_.state_names : p_.input_names;
    auto& types = state ? p_.state_types : p_.input_types;
    const int buffer =
        new_buffer(bytes_of(v.tensor()), state ? Place::kState : Place::kInput, int(names.size()));
    names.push_back(v.name);
    types.push_back(v.tensor());
    scope[size_t(id)].copies = {{Layout::kPlain, buffer}};
  }

  void lower_nodes(Graph& g, Scope& scope) {
    const passes::Readers readers(g);
    const std::vector<NodeId> last = last_readers(g);
    for (NodeId id : g.order()) {
      if (&g == whole_) origin_ = id;
      // Results nobody reads are not asked for.
      Node node = g.node(id);
      for (ValueId& v : node.outputs)
        if (v != kNoValue && readers.count(v) == 0) v = kNoValue;
      const auto asked = [](ValueId v) { return v != kNoValue; };
      if (std::any_of(node.outputs.begin(), node.outputs.end(), asked))
        lower_node(g, id, node, scope);
      g.mutable_node(id).attrs = {};  // and with them a region's constants
      for (ValueId v : node.inputs)
        if (v != kNoValue && last[size_t(v)] == id && g.is_constant(v)) {
          scope[size_t(v)].constant = nullptr;
          g.mutable_value(v).constant.reset();
        }
    }
  }

  /// By value: the last node that reads it; none where the graph itself does.
  static std::vector<NodeId> last_readers(const Graph& g) {
    std::vector<NodeId> last(g.value_count(), kNoNode);
    for (NodeId id : g.order())
      for (ValueId v : g.node(id).inputs)
        if (v != kNoValue) last[size_t(v)] = id;
    for (ValueId v : g.outputs()) last[size_t(v)] = kNoNode;
    for (const StatePair& s : g.states()) last[size_t(s.output)] = kNoNode;
    return last;
  }

  BindRequest request_for(const Graph& g, NodeId id, const Node& n, const Scope& scope) {
    std::vector<TypesIn::Operand> operands;
    BindRequest r{n.room, n.attrs, TypesIn("", {}), {}, {}, {}};
    for (ValueId v : n.inputs) {
      if (v == kNoValue) {
        operands.push_back({});
        r.layouts.push_back(Layout::kPlain);
        continue;
      }
      const Located& at = scope[size_t(v)];
      operands.push_back({&at.type, at.constant});
      r.layouts.push_back(at.copies.empty() ? Layout::kPlain : at.copies[0].layout);
    }
    r.choices = options_.choices.get();
    r.in = TypesIn(describe(g, id), std::move(operands));
    for (ValueId v : n.outputs) {
      if (v != kNoValue) require_static(g, v);
      r.wanted.push_back(v != kNoValue);
      r.out.push_back(v == kNoValue ? Type() : g.value(v).type);
    }
    return r;
  }

  void lower_node(const Graph& g, NodeId id, const Node& n, Scope& scope) {
    if (evaluate(g, id, n, scope) || leave_empty(g, n, scope)) return;
    const BindRequest request = request_for(g, id, n, scope);
    const bool alone = num_threads() > 1 && !worth_sharing(cost_of(g, id), request.in);
    KernelPtr kernel;
    {
      const ThreadScope threads(alone ? 1 : num_threads());
      kernel = bind_fast(request, options_.explain);
    }
    const bool fast = kernel != nullptr;
    if (!fast && request.room->expand.answered()) return lower_expansion(g, id, n, scope);
    if (!fast) {
      Bound bound = bind_reference(request);
      if (auto* why = std::get_if<Refuse>(&bound))
        throw unsupported(request.in.where(), "nothing can run it: " + why->why);
      kernel = std::get<KernelPtr>(bound);
      fallbacks_.push_back(request.in.where());
      if (options_.explain) options_.explain(request.in.where() + ": runs by reference");
    }
    emit(g, id, n, kernel, request, !fast, scope);
    if (kernel->view_of < 0) p_.instructions.back().alone = fast && alone;
  }

  // A node of constants that folding left alone (its result is larger) is computed now.
  bool evaluate(const Graph& g, NodeId id, const Node& n, Scope& scope) {
    if (n.inputs.empty() || !n.room->foldable()) return false;
    std::vector<const Tensor*> operands;
    for (ValueId v : n.inputs) {
      if (v != kNoValue && !scope[size_t(v)].constant) return false;
      operands.push_back(v == kNoValue ? nullptr : scope[size_t(v)].constant);
    }
    auto results = run_reference(*n.room, n.attrs, operands, describe(g, id));
    for (size_t i = 0; i < n.outputs.size(); ++i) {
      if (n.outputs[i] == kNoValue) continue;
      folded_.push_back(std::make_unique<Tensor>(std::move(results.at(i))));
      scope[size_t(n.outputs[i])].constant = folded_.back().get();
    }
    return true;
  }

  // Where no result has an element, nothing runs.
  bool leave_empty(const Graph& g, const Node& n, Scope& scope) {
    for (ValueId v : n.outputs) {
      if (v == kNoValue) continue;
      require_static(g, v);
      if (scope[size_t(v)].tensor().numel() != 0) return false;
    }
    for (ValueId v : n.outputs)
      if (v != kNoValue)
        scope[size_t(v)].copies = {{Layout::kPlain, result_buffer(scope[size_t(v)].tensor())}};
    return true;
  }

  // No kernel takes the operator whole: its expansion is lowered in its place.
  void lower_expansion(const Graph& g, NodeId id, const Node& n, Scope& scope) {
    auto body = std::make_unique<Graph>();
    Builder b(*body);
    Values operands;
    std::map<ValueId, ValueId> inner_of;
    for (ValueId v : n.inputs) {
      if (v != kNoValue && !inner_of.contains(v)) {
        const Located& at = scope[size_t(v)];
        const std::string& name = g.value(v).name;
        inner_of[v] =
            at.constant ? body->add_constant(name, *at.constant) : body->add_input(name, at.type);
      }
      operands.push_back(v == kNoValue ? kNoValue : inner_of[v]);
    }
    const Values results = expand_node(*n.room, n.attrs, b, operands);
    for (size_t i = 0; i < n.outputs.size(); ++i)
      if (n.outputs[i] != kNoValue) body->add_output(results.at(i));
    reinfer(*body, /*fold=*/true);
    body->erase_dead();
    if (passes::region_body(g, id)) fuse_parts(*body);

    Scope inner = scope_of(*body);
    for (const auto& [outer, v] : inner_of)
      if (!scope[size_t(outer)].constant) inner[size_t(v)].copies = scope[size_t(outer)].copies;
    lower_nodes(*body, inner);
    size_t next_output = 0;
    for (ValueId v : n.outputs) {
      if (v == kNoValue) continue;
      const Located& from = inner[size_t(body->outputs()[next_output++])];
      scope[size_t(v)].copies = from.copies;
      scope[size_t(v)].constant = from.constant;
    }
    expansions_.push_back(std::move(body));
  }

  /// Parts of a region that no kernel takes whole become regions, as they would have been without
  /// it; never all of it again.
  void fuse_parts(Graph& body) const {
    Graph parts = body;
    PassOptions how;
    how.disabled = options_.disabled_passes;
    const std::string order[] = {"fuse_transposed", "fuse_epilogue", "fuse_pointwise"};
    run_passes(parts, how, order);
    if (parts.order().size() > 1) body = std::move(parts);
  }

  void emit(const Graph& g, NodeId id, const Node& n, const KernelPtr& kernel,
            const BindRequest& request, bool reference, Scope& scope) {
    if (kernel->view_of >= 0) {
      const ValueId from = n.inputs[size_t(kernel->view_of)];
      const Layout layout = kernel->operand_layout(size_t(kernel->view_of));
      const int buffer = located(scope[size_t(from)], layout);
      scope[size_t(n.outputs[0])].copies = {{kernel->result_layout(0), buffer}};
      return;
    }
    Instruction ins;
    for (size_t i = 0; i < n.inputs.size(); ++i)
      ins.operands.push_back(n.inputs[i] == kNoValue || kernel->absorbs(i)
                                 ? kNoBuffer
                                 : located(scope[size_t(n.inputs[i])], kernel->operand_layout(i)));
    for (size_t i = 0; i < n.outputs.size(); ++i) {
      if (n.outputs[i] == kNoValue) {
        ins.results.push_back(kNoBuffer);
        continue;
      }
      Located& to = scope[size_t(n.outputs[i])];
      ins.results.push_back(result_buffer(to.tensor()));
      to.copies = {{kernel->result_layout(i), ins.results.back()}};
    }
    ins.kernel = kernel;
    ins.info = {request.in.where(), kernel->name, 0, 0, reference, origin_};
    const Cost cost = cost_of(g, id);
    ins.info.macs = cost.macs;
    ins.info.bytes = cost.bytes;
    p_.instructions.push_back(std::move(ins));
  }

  /// The buffer that holds a value in `layout`; made by a reorder if need be.
  int located(Located& at, Layout layout) {
    const Shape shape = at.tensor().shape();
    if (at.copies.empty()) {
      ESP_CHECK(at.constant != nullptr, "a value was read before it was computed");
      const auto [found, fresh] =
          constant_buffers_.emplace(std::pair(at.constant->raw(), at.constant->bytes()), 0);
      if (fresh) {
        found->second = new_buffer(at.constant->bytes(), Place::kConstant);
        p_.buffers.back().constant = *at.constant;
      }
      at.copies.push_back({Layout::kPlain, found->second});
    }
    for (const auto& c : at.copies)
      if (layouts_agree(shape, c.layout, layout)) return c.buffer;
    const Located::Copy from = at.copies[0];
    const int to = at.constant ? reordered_constant(*at.constant, from.layout, layout)
                               : reorder(at.tensor(), from, layout);
    at.copies.push_back({layout, to});
    return to;
  }

  int reorder(const TensorType& type, const Located::Copy& from, Layout layout) {
    const int to = result_buffer(type);
    add_instruction(reorder_kernel(type.dtype, type.shape(), from.layout, layout), from.buffer, to,
                    double(bytes_of(type)));
    return to;
  }

  int reordered_constant(const Tensor& t, Layout from, Layout to) {
    Tensor moved(t.dtype(), t.shape());
    const auto launch = reorder_kernel(t.dtype(), t.shape(), from, to)->launch();
    const void* in = t.raw();
    void* out = moved.mutable_raw();
    launch->place({&in, 1}, {&out, 1}, nullptr);
    launch->run();
    const int buffer = new_buffer(moved.bytes(), Place::kConstant);
    p_.buffers.back().constant = std::move(moved);
    return buffer;
  }

  void add_instruction(KernelPtr kernel, int from, int to, double bytes) {
    Instruction ins;
    ins.info = {kernel->name, kernel->name, 0, 2 * bytes, false};
    ins.kernel = std::move(kernel);
    ins.operands = {from};
    ins.results = {to};
    p_.instructions.push_back(std::move(ins));
  }

  /// A fresh buffer with the elements of another.
  int copy_of(const TensorType& type, int from) {
    return reorder(type, {Layout::kPlain, from}, Layout::kPlain);
  }

  void add_output(const Graph& g, int index, Scope& scope) {
    const ValueId id = g.outputs()[size_t(index)];
    require_static(g, id);
    const TensorType& type = g.value(id).tensor();
    int buffer = located(scope[size_t(id)], Layout::kPlain);
    const Place place = p_.buffers[size_t(buffer)].place;
    if (place != Place::kArena && place != Place::kStrings) buffer = copy_of(type, buffer);
    p_.buffers[size_t(buffer)].place = Place::kOutput;
    p_.buffers[size_t(buffer)].index = index;
    p_.output_names.push_back(g.value(id).name);
    p_.output_types.push_back(type);
  }

  StateWrite state_write(const Graph& g, const StatePair& s, Scope& scope) {
    require_static(g, s.output);
    const TensorType& type = g.value(s.output).tensor();
    const int state = scope[size_t(s.input)].copies[0].buffer;
    int source = located(scope[size_t(s.output)], Layout::kPlain);
    if (source == state || type.numel() == 0) return {state, state};
    // What somebody else owns is copied; another state's bytes twice, so that swaps work.
    const Place place = p_.buffers[size_t(source)].place;
    const bool taken =
        std::find(state_sources_.begin(), state_sources_.end(), source) != state_sources_.end();
    if (place == Place::kState) source = copy_of(type, source);
    if (place != Place::kArena || taken) source = copy_of(type, source);
    state_sources_.push_back(source);
    return {state, source};
  }

  const CompileOptions& options_;
  ProgramImpl& p_;
  const Graph* whole_ = nullptr;  ///< what is lowered, not an expansion in it
  NodeId origin_ = kNoNode;       ///< its node that is being lowered
  std::map<std::pair<const void*, size_t>, int> constant_buffers_;
  std::vector<int> state_sources_;
  std::vector<std::string> fallbacks_;
  std::vector<std::unique_ptr<Tensor>> folded_;
  std::vector<std::unique_ptr<Graph>> expansions_;  // own constants that scopes point at
};

}  // namespace

std::unique_ptr<ProgramImpl> lower(Graph graph, const CompileOptions& options) {
  auto program = std::make_unique<ProgramImpl>();
  Lowering(options, *program).run(graph);
  for (const Instruction& i : program->instructions)
    program->reference_count += i.info.reference ? 1 : 0;
  return program;
}

}  // namespace espalier
