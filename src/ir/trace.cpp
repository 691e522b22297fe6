#include "ir/trace.h"

#include <map>

#include "base/error.h"
#include "ir/builder.h"
#include "ir/reference.h"
#include "ir/room.h"

namespace espalier {
namespace {

class Tracer {
 public:
  explicit Tracer(Graph& line) : b_(line) {}

  /// A value known in the line; values made between runs of bodies (iteration counts) are
  /// constants.
  void remember(const Datum& datum, ValueId v) {
    known_[key_of(datum)] = v;
    kept_.push_back(datum);
  }

  std::vector<Datum> run(const Graph& g, const std::vector<Datum>& inputs) {
    std::vector<Datum> values(g.value_count());
    std::vector<ValueId> ids(g.value_count(), kNoValue);
    for (size_t i = 0; i < inputs.size(); ++i) {
      const auto v = size_t(g.inputs()[i]);
      values[v] = inputs[i];
      ids[v] = id_of(inputs[i]);
    }
    for (ValueId v : g.constants()) {
      values[size_t(v)] = *g.value(v).constant;
      ids[size_t(v)] = id_of(values[size_t(v)]);
    }
    for (NodeId id : g.order()) run_node(g, id, values, ids);
    std::vector<Datum> results;
    for (ValueId v : g.outputs()) results.push_back(values[size_t(v)]);
    return results;
  }

  ValueId id_of(const Datum& datum) {
    const auto found = known_.find(key_of(datum));
    if (found != known_.end()) return found->second;
    const ValueId v = b_.constant(datum.tensor());
    remember(datum, v);
    return v;
  }

 private:
  using Key = std::pair<const void*, Shape>;
  static Key key_of(const Datum& d) { return {d.tensor().raw(), d.tensor().shape()}; }

  void run_node(const Graph& g, NodeId id, std::vector<Datum>& values, std::vector<ValueId>& ids) {
    const Node& n = g.node(id);
    std::vector<const Datum*> operands;
    Values inputs;
    for (ValueId v : n.inputs) {
      operands.push_back(v == kNoValue ? nullptr : &values[size_t(v)]);
      inputs.push_back(v == kNoValue ? kNoValue : ids[size_t(v)]);
    }
    const std::string where = describe(g, id);
    std::vector<Datum> results;
    Values made;
    if (n.room->control) {
      const auto bodies = n.room->control->bodies(n.attrs);
      ControlCall call;
      call.where = where;
      call.operands = operands;
      call.results = [&] { return types_for(*n.room, n.attrs, operands, where); };
      call.body = [&](size_t i, const std::vector<Datum>& given) { return run(*bodies[i], given); };
      results = n.room->control->run(n.attrs, call);
      for (const Datum& d : results) {
        if (!known_.contains(key_of(d)))
          throw unsupported(where, "makes new values of its bodies' results, which are not traced");
        made.push_back(id_of(d));
      }
    } else {
      results = run_reference(*n.room, n.attrs, operands, where);
      made = b_.op(*n.room, n.attrs, inputs);
      for (size_t o = 0; o < results.size() && o < made.size(); ++o) remember(results[o], made[o]);
    }
    for (size_t o = 0; o < n.outputs.size(); ++o) {
      if (n.outputs[o] == kNoValue) continue;
      values[size_t(n.outputs[o])] = results.at(o);
      ids[size_t(n.outputs[o])] = made.at(o);
    }
  }

  Builder b_;
  std::map<Key, ValueId> known_;
  std::vector<Datum> kept_;  ///< so that no address is used twice
};

}  // namespace

Graph traced(const Graph& graph, std::span<const Tensor> inputs) {
  Graph line;
  line.name = graph.name + " traced";
  Tracer tracer(line);
  std::vector<Datum> data;
  for (size_t i = 0; i < inputs.size(); ++i) {
    // A copy, so that equal storage means the same value.
    data.emplace_back(inputs[i].clone());
    const Value& value = graph.value(graph.inputs()[i]);
    tracer.remember(data.back(), line.add_input(value.name, data.back().type()));
  }
  for (const Datum& d : tracer.run(graph, data)) line.add_output(tracer.id_of(d));
  return line;
}

}  // namespace espalier
