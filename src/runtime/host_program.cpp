#include "runtime/host_program.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "ir/builder.h"
#include "ir/derive.h"
#include "ir/interpret.h"
#include "ir/room.h"
#include "runtime/session.h"

namespace espalier {
namespace {

/// A body on the host, with those of its inputs that are constants put in.
struct Body {
  std::unique_ptr<HostProgram> program;
  std::vector<bool> known;  ///< of each input

  std::vector<Datum> run(const std::vector<Datum>& inputs) const {
    std::vector<Datum> unknown;
    for (size_t i = 0; i < inputs.size(); ++i)
      if (!known[i]) unknown.push_back(inputs[i]);
    return program->run(unknown);
  }
};

/// A node that the host runs. Slots are places among the values of a cut; -1 where there is none.
struct Step {
  const Room* room = nullptr;
  Attributes attrs;
  std::string where;
  std::vector<int> operands, results;
  std::vector<Body> bodies;

  void run(std::vector<Datum>& values) const {
    std::vector<const Datum*> given;
    for (int slot : operands) given.push_back(slot < 0 ? nullptr : &values[size_t(slot)]);
    auto got = room->control ? run_bodies(given) : run_reference(*room, attrs, given, where);
    for (size_t i = 0; i < results.size(); ++i)
      if (results[i] >= 0) values[size_t(results[i])] = std::move(got.at(i));
  }

  std::vector<Datum> run_bodies(const std::vector<const Datum*>& given) const {
    ControlCall call;
    call.where = where;
    call.operands = given;
    call.results = [&] { return types_for(*room, attrs, given, where); };
    call.body = [&](size_t i, const std::vector<Datum>& inputs) { return bodies[i].run(inputs); };
    return room->control->run(attrs, call);
  }
};

/// A sequence or optional of tensors of any shape: cuts are not made anew for what sequences hold.
Type of_any_shape(const Type& type) {
  if (type.is_sequence()) return sequence_of(of_any_shape(type.element()));
  if (type.is_optional()) return optional_of(of_any_shape(type.element()));
  return UnrankedType{*element_type_of(type)};
}

bool in_programs(const Type& type) { return type.is_static(); }
bool is_open(const Type& type) { return element_type_of(type) && !type.is_static(); }
bool for_host(const Type& type) { return !element_type_of(type); }

/// Replaces operators on sequences that mean simpler ones, so that their bodies are compiled too.
void expand_for_host(Graph& g) {
  const auto handled = [&](ValueId v) {
    return v != kNoValue && !element_type_of(g.value(v).type);
  };
  for (bool changed = true; changed;) {
    changed = false;
    for (NodeId id : std::vector<NodeId>(g.order())) {
      const Node& n = g.node(id);
      if (n.room->control || !n.room->expand.answered() || !std::ranges::any_of(n.inputs, handled))
        continue;
      expand_in_place(g, id);
      changed = true;
    }
  }
}

/// Some nodes of a graph as a graph of their own.
Graph part_of(const Graph& g, const std::vector<NodeId>& nodes, const std::vector<ValueId>& inputs,
              const std::vector<ValueId>& outputs) {
  Graph part;
  part.name = g.name;
  std::vector<ValueId> map(g.value_count(), kNoValue);
  for (ValueId v : inputs) map[size_t(v)] = part.add_input(g.value(v).name, g.value(v).type);
  const auto mapped = [&](ValueId v) {
    if (v == kNoValue) return kNoValue;
    if (map[size_t(v)] == kNoValue) {
      const Value& value = g.value(v);
      ESP_CHECK(value.constant.has_value(), "a part of a graph reads what it is not given");
      map[size_t(v)] = part.add_constant(value.name, *value.constant, value.role);
    }
    return map[size_t(v)];
  };
  for (NodeId id : nodes) {
    const Node& n = g.node(id);
    Values operands;
    for (ValueId v : n.inputs) operands.push_back(mapped(v));
    std::vector<std::string> names;
    for (ValueId v : n.outputs) names.push_back(v == kNoValue ? "" : g.value(v).name);
    const NodeId made = part.add_node(*n.room, n.attrs, operands, types_out(g, id), n.name, names);
    for (size_t i = 0; i < n.outputs.size(); ++i)
      if (n.outputs[i] != kNoValue) map[size_t(n.outputs[i])] = part.node(made).outputs[i];
  }
  for (ValueId v : outputs) part.add_output(mapped(v));
  return part;
}

}  // namespace

/// What runs for one set of input shapes.
struct HostProgram::Cut {
  uint64_t last_run = 0;
  size_t slots = 0;
  std::vector<int> inputs, outputs;              ///< of the graph; -1 for inputs nobody reads
  std::vector<std::pair<int, Datum>> constants;  ///< that steps and outputs read
  std::optional<Session> session;                ///< what has fixed sizes now
  std::vector<int> program_inputs, program_outputs;
  std::vector<Step> steps;
  std::unique_ptr<HostProgram> rest;
  std::vector<int> rest_inputs, rest_outputs;

  std::vector<Datum> run(std::span<const Datum> given) {
    std::vector<Datum> values(slots);
    for (size_t i = 0; i < inputs.size(); ++i)
      if (inputs[i] >= 0) values[size_t(inputs[i])] = given[i];
    for (const auto& [slot, constant] : constants) values[size_t(slot)] = constant;
    if (session) {
      std::vector<Tensor> feed;
      for (int slot : program_inputs) feed.push_back(values[size_t(slot)].tensor());
      auto got = session->run(feed);
      for (size_t i = 0; i < got.size(); ++i)
        values[size_t(program_outputs[i])] = std::move(got[i]);
    }
    for (const Step& step : steps) step.run(values);
    if (rest) {
      std::vector<Datum> feed;
      for (int slot : rest_inputs) feed.push_back(values[size_t(slot)]);
      auto got = rest->run(feed);
      for (size_t i = 0; i < got.size(); ++i) values[size_t(rest_outputs[i])] = std::move(got[i]);
    }
    std::vector<Datum> results;
    for (int slot : outputs) results.push_back(values[size_t(slot)]);
    return results;
  }
};

/// Makes a cut of a graph whose inputs have fixed sizes.
class HostProgram::Cutter {
 public:
  Cutter(Graph graph, const CompileOptions& options, int& compiled)
      : g_(std::move(graph)), options_(options), compiled_(compiled), cut_(new Cut) {}

  std::unique_ptr<Cut> run() {
    slot_.assign(g_.value_count(), -1);
    divide();
    for (ValueId v : g_.inputs()) cut_->inputs.push_back(reads(v) ? slot_of(v) : -1);
    make_program();
    for (NodeId id : steps_) cut_->steps.push_back(step_of(id));
    make_rest();
    for (ValueId v : g_.outputs()) cut_->outputs.push_back(slot_of(v));
    return std::move(cut_);
  }

 private:
  /// Program: everything known to have fixed sizes. Steps: what can run after it although its
  /// results' sizes are open, or it handles sequences, or it has bodies. Rest: the others.
  void divide() {
    std::vector<bool> fixed(g_.value_count(), false), ready(g_.value_count(), false);
    for (ValueId v : g_.inputs()) fixed[size_t(v)] = in_programs(g_.value(v).type);
    for (ValueId v : g_.constants()) fixed[size_t(v)] = in_programs(g_.value(v).type);
    for (ValueId v : g_.inputs()) ready[size_t(v)] = true;
    for (ValueId v : g_.constants()) ready[size_t(v)] = true;
    const auto all = [&](const Node& n, const std::vector<bool>& of) {
      return std::ranges::all_of(n.inputs,
                                 [&](ValueId v) { return v == kNoValue || of[size_t(v)]; });
    };
    for (NodeId id : g_.order()) {
      const Node& n = g_.node(id);
      const bool now = !n.room->control && all(n, fixed) && results(n, in_programs);
      if (now)
        program_.push_back(id);
      else if (all(n, ready) && host_runs(n))
        steps_.push_back(id);
      else
        rest_.push_back(id);
      if (!rest_.empty() && rest_.back() == id) continue;
      for (ValueId v : n.outputs) {
        if (v == kNoValue) continue;
        fixed[size_t(v)] = now;
        ready[size_t(v)] = true;
      }
    }
    // Where nothing is computed, only passed on, there is nothing to compile.
    if (std::ranges::all_of(program_, [&](NodeId id) { return passes_on(cost_of(g_, id)); })) {
      steps_.insert(steps_.begin(), program_.begin(), program_.end());
      program_.clear();
    }
    read_.assign(g_.value_count(), false);
    for (NodeId id : g_.order())
      for (ValueId v : g_.node(id).inputs)
        if (v != kNoValue) read_[size_t(v)] = true;
    for (ValueId v : g_.outputs()) read_[size_t(v)] = true;
  }

  static bool passes_on(const Cost& cost) { return cost.flops == 0 && cost.bytes == 0; }

  bool results(const Node& n, bool (*are)(const Type&)) const {
    return std::ranges::all_of(n.outputs,
                               [&](ValueId v) { return v == kNoValue || are(g_.value(v).type); });
  }
  bool host_runs(const Node& n) const {
    if (n.room->control) return true;
    for (const auto* values : {&n.inputs, &n.outputs})
      for (ValueId v : *values)
        if (v != kNoValue && for_host(g_.value(v).type)) return true;
    // Data decides where sizes of operands say nothing of those of results.
    const auto open = [&](ValueId v) { return v != kNoValue && is_open(g_.value(v).type); };
    return std::ranges::none_of(n.inputs, open) && std::ranges::any_of(n.outputs, open);
  }

  bool reads(ValueId v) const { return read_[size_t(v)]; }
  int slot_of(ValueId v) {
    int& slot = slot_[size_t(v)];
    if (slot < 0) {
      slot = int(cut_->slots++);
      if (g_.is_constant(v)) cut_->constants.emplace_back(slot, *g_.value(v).constant);
    }
    return slot;
  }
  std::vector<int> slots_of(const std::vector<ValueId>& values) {
    std::vector<int> slots;
    for (ValueId v : values) slots.push_back(slot_of(v));
    return slots;
  }

  /// What `nodes` read that they neither make nor is constant, in order of first use.
  std::vector<ValueId> inputs_of(const std::vector<NodeId>& nodes) const {
    std::vector<bool> inside(g_.value_count(), false);
    std::vector<ValueId> outer;
    for (NodeId id : nodes) {
      for (ValueId v : g_.node(id).inputs) {
        if (v == kNoValue || inside[size_t(v)] || g_.is_constant(v)) continue;
        inside[size_t(v)] = true;
        outer.push_back(v);
      }
      for (ValueId v : g_.node(id).outputs)
        if (v != kNoValue) inside[size_t(v)] = true;
    }
    return outer;
  }
  /// Results of `nodes` that `others` or the graph's outputs read.
  std::vector<ValueId> outputs_of(const std::vector<NodeId>& nodes,
                                  const std::vector<const std::vector<NodeId>*>& others) const {
    std::vector<bool> read(g_.value_count(), false);
    for (const auto* list : others)
      for (NodeId id : *list)
        for (ValueId v : g_.node(id).inputs)
          if (v != kNoValue) read[size_t(v)] = true;
    for (ValueId v : g_.outputs()) read[size_t(v)] = true;
    std::vector<ValueId> outer;
    for (NodeId id : nodes)
      for (ValueId v : g_.node(id).outputs)
        if (v != kNoValue && read[size_t(v)]) outer.push_back(v);
    return outer;
  }

  void make_program() {
    if (program_.empty()) return;
    const auto inputs = inputs_of(program_), outputs = outputs_of(program_, {&steps_, &rest_});
    cut_->session.emplace(compile(part_of(g_, program_, inputs, outputs), options_));
    ++compiled_;
    cut_->program_inputs = slots_of(inputs);
    cut_->program_outputs = slots_of(outputs);
  }

  void make_rest() {
    if (rest_.empty()) return;
    const auto inputs = inputs_of(rest_), outputs = outputs_of(rest_, {});
    cut_->rest =
        std::make_unique<HostProgram>(part_of(g_, rest_, inputs, outputs), options_, compiled_);
    cut_->rest_inputs = slots_of(inputs);
    cut_->rest_outputs = slots_of(outputs);
  }

  Step step_of(NodeId id) {
    const Node& n = g_.node(id);
    Step step{n.room, n.attrs, describe(g_, id), {}, {}, {}};
    for (ValueId v : n.inputs) step.operands.push_back(v == kNoValue ? -1 : slot_of(v));
    for (ValueId v : n.outputs)
      step.results.push_back(v == kNoValue || !reads(v) ? -1 : slot_of(v));
    if (n.room->control)
      for (const GraphRef& body : n.room->control->bodies(n.attrs))
        step.bodies.push_back(body_of(n, *body));
    return step;
  }

  Body body_of(const Node& n, const Graph& declared) const {
    Graph g = declared.compacted();
    const size_t captured = n.room->control->captured(n.attrs);
    const size_t first = g.inputs().size() - captured;
    Body body{nullptr, std::vector<bool>(g.inputs().size(), false)};
    const std::vector<ValueId> inputs(g.inputs().begin(), g.inputs().end());
    for (size_t i = 0; i < captured; ++i) {
      const ValueId from = n.inputs[n.inputs.size() - captured + i], to = inputs[first + i];
      if (!g_.is_constant(from)) continue;
      const std::string name = g.fresh_name(g.value(to).name + "_known");
      g.replace_uses(to, g.add_constant(name, *g_.value(from).constant, g_.value(from).role));
      g.erase_input(to);
      body.known[first + i] = true;
    }
    body.program = std::make_unique<HostProgram>(g.compacted(), options_, compiled_);
    return body;
  }

  Graph g_;
  const CompileOptions& options_;
  int& compiled_;
  std::unique_ptr<Cut> cut_;
  std::vector<int> slot_;
  std::vector<bool> read_;
  std::vector<NodeId> program_, steps_, rest_;
};

HostProgram::HostProgram(Graph graph, const CompileOptions& options, int& compiled)
    : graph_(std::move(graph)), options_(options), compiled_(compiled) {}
HostProgram::~HostProgram() = default;

HostProgram::Cut& HostProgram::cut_for(std::span<const Datum> inputs) {
  std::vector<Shape> key;
  for (const Datum& d : inputs) key.push_back(d.is_tensor() ? d.tensor().shape() : Shape{-1});
  if (const auto found = cuts_.find(key); found != cuts_.end()) return *found->second;
  if (cuts_.size() >= kMostCuts)
    cuts_.erase(std::ranges::min_element(cuts_, {},
                                         [](const auto& entry) { return entry.second->last_run; }));
  std::vector<Type> types;
  for (const Datum& d : inputs) types.push_back(d.is_tensor() ? d.type() : of_any_shape(d.type()));
  Graph special = with_input_types(graph_, types);
  expand_for_host(special);
  auto cut = Cutter(special.compacted(), options_, compiled_).run();
  return *cuts_.emplace(std::move(key), std::move(cut)).first->second;
}

std::vector<Datum> HostProgram::run(std::span<const Datum> inputs) {
  Cut& cut = cut_for(inputs);
  cut.last_run = ++runs_;
  return cut.run(inputs);
}

}  // namespace espalier
